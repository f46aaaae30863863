// Two users of one browser: node users.js BASE. Fails with what went wrong.
import assert from 'node:assert/strict'
import { open, show } from './browser.js'
import { base, count, live, post, streams, until } from './pages.js'

const { context, page: blank } = await open(base + '/blank')
const login = (user) => blank.evaluate((user) => fetch('/login?user=' + user), user)
const tab = async (user, more = '{}') => {
  const page = await context.newPage()
  await page.addInitScript(([user, more]) => (window.options = { url: '/mine', user, ...eval(`(${more})`) }), [user, more])
  await show(page, base + '/')
  return page
}
const append = (user) => post('/append?topic=user:' + user)
const topics = (page) => page.evaluate(() => [...new Set(window.got.map((e) => e.topic))])
const told = (page, kind) => until(`${kind} to be told`, () => page.evaluate((kind) => window.failures.some((f) => f.kind === kind), kind))

// The server compares, or forgets to: no tab shows what is another's.
for (const mode of ['serve', 'trusting']) {
  await post('/mode?mode=' + mode)
  await login('ada')
  const [ada, too] = [await tab('ada'), await tab('ada')]
  await live(ada)
  await live(too)
  assert.equal(await streams(), 1)
  await append('ada')
  for (const page of [ada, too]) await until('her event', async () => (await topics(page)).length === 1)

  // Bob logs in in a third tab: those of Ada end, and say so.
  await login('bob')
  const bob = await tab('bob')
  await live(bob)
  for (const page of [ada, too]) await told(page, 'user')
  await until('one stream', async () => (await streams()) === 1)
  for (const user of ['ada', 'bob']) await append(user)
  await until('his event', async () => (await topics(bob)).length === 1)

  // Also after a reconnect.
  await post('/mode?mode=503')
  await until('no stream', async () => (await streams()) === 0)
  await append('ada')
  await append('bob')
  await post('/mode?mode=' + mode)
  await until('his second event', async () => (await bob.evaluate(() => window.got.length)) === 2)
  for (const page of [ada, too]) {
    assert.deepEqual(await topics(page), ['user:ada'])
    assert.equal(await page.evaluate(() => window.got.length), 1)
    await page.close()
  }
  assert.deepEqual(await topics(bob), ['user:bob'])
  await bob.close()
  await blank.evaluate(() => localStorage.clear())
  await until('no stream', async () => (await streams()) === 0)
}

// Bob logs in elsewhere: the server refuses Ada's tab when it reconnects.
await post('/mode?mode=serve')
await login('ada')
const ada = await tab('ada')
await live(ada)
await login('bob')
await post('/mode?mode=503')
await until('no stream', async () => (await streams()) === 0)
await append('bob')
await post('/mode?mode=serve')
await until('a refusal', () => ada.evaluate(() => window.failures.some((f) => f.status === 403 && f.message.includes('another user is logged in'))))
const before = await topics(ada)
assert.ok(!before.includes('user:bob'))
// She logs in again: her tab goes on by itself.
await login('ada')
await append('ada')
await until('her event', () => ada.evaluate(() => window.got.at(-1)?.topic === 'user:ada'))

// Tabs that have credentials of their own go on beside each other.
const [one, two] = [await tab('x', '{ url: "/events", request: () => ({ headers: { Authorization: "Bearer x" } }) }'), await tab('y', '{ url: "/events", request: async () => ({ headers: { Authorization: "Bearer y" } }) }')]
await live(one)
await live(two)
await append('any')
for (const page of [one, two]) await until('the event', () => page.evaluate(() => window.got.at(-1)?.topic === 'user:any'))
assert.deepEqual(await one.evaluate(() => window.failures), [])

// A tab that is stopped while its credentials are fetched asks for nothing.
const late = await tab('z', '{ url: "/events", request: () => new Promise((resolve) => (window.credentials = resolve)) }')
await until('a request', () => late.evaluate(() => window.credentials !== undefined))
const opened = await count('opened')
await late.evaluate(() => {
  window.stop()
  window.credentials({})
})
await new Promise((resolve) => setTimeout(resolve, 1000))
assert.equal(await count('opened'), opened)
assert.equal(await late.evaluate(() => window.got.length), 0)
console.log('ok')
await context.close()
process.exit(0)
