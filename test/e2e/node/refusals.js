// What pages with the TypeScript client are told: node refusals.js BASE. Fails
// with what went wrong.
import assert from 'node:assert/strict'
import { open, show } from './browser.js'
import { base, count, has, live, post, stored, streams, until } from './pages.js'

const { context, page: first } = await open(base + '/')
await live(first)
const second = await context.newPage()
await show(second, base + '/')
await live(second)
await post('/append?n=1')
await has(first, 1, 1)
let last = 1

const failures = (page) => page.evaluate(() => window.failures)
const forget = async () => {
  for (const page of [first, second]) await page.evaluate(() => void (window.failures = []))
}

// Each answer that is no stream reaches every tab, with its status; when the
// server serves again, nothing is missing.
for (const [mode, status] of [['400', 400], ['401', 401], ['403', 403], ['404', 404], ['500', 500], ['502', 502], ['503', 503], ['page', 200]]) {
  await forget()
  await post('/mode?mode=' + mode)
  await post('/append?n=1')
  last++
  for (const page of [first, second]) {
    await until(mode + ' to be told', async () => (await failures(page)).length >= 1)
    for (const { kind, status: told } of await failures(page)) assert.deepEqual([kind, told], ['refused', status])
  }
  await post('/mode?mode=serve')
  await has(first, 1, last)
  await until('the second tab', async () => (await second.evaluate(() => window.got.at(-1).data.n)) === last)
}

// Tries become rarer: the server's retry (25 to 75 ms), twice that, four times …,
// each half to one and a half of that.
await forget()
await post('/mode?mode=401')
await until('seven tries', async () => (await failures(first)).length >= 7)
const at = (await failures(first)).map((f) => f.at)
for (let i = 1; i < 7; i++) {
  const [pause, least] = [at[i] - at[i - 1], 0.5 * 25 * 2 ** (i - 1)]
  assert.ok(pause >= least - 2, `pause ${i} is ${pause} ms, want ${least} or more`) // timers are rounded
}
assert.ok((await count('refused')) < 60)

// The application may stop; then nobody asks any more.
for (const page of [first, second]) await page.evaluate(() => window.stop())
await new Promise((resolve) => setTimeout(resolve, 1000)) // for what was under way
const opened = await count('opened')
await new Promise((resolve) => setTimeout(resolve, 1000))
assert.equal(await count('opened'), opened)
await second.close()
await post('/mode?mode=serve')

// A stored text that is no cursor: the state is loaded, and the text is replaced.
for (const garbage of ['garbage!', 'x', 'a.b', 'a.01', '1.2.3.4', 'é.1', 'a.1.' + 'x'.repeat(33)]) {
  const before = await count('opened')
  await first.evaluate((text) => localStorage.setItem(Object.keys(localStorage).find((k) => k.startsWith('gapless ')), text), garbage)
  await first.reload()
  await until('a load', () => first.evaluate(() => window.resets.length >= 1))
  assert.deepEqual(await first.evaluate(() => window.resets[0]), { reason: 'unreadable', requested: garbage })
  assert.equal((await failures(first))[0].kind, 'position')
  assert.equal(await stored(first), garbage) // until the load succeeds
  await until('the second try', () => first.evaluate(() => window.resets.length === 2))
  await first.evaluate(() => window.reloaded())
  await until('a cursor to be stored', async () => (await stored(first)) !== garbage)
  assert.equal((await count('opened')) - before, 1)
}

// A hop that drops the position: the stream begins at the latest event, and the
// page is told that events may be missing.
await post('/append?n=1')
last++
await until('the event', async () => (await stored(first)).split('.')[1] === String(last))
await first.evaluate(() => (window.resets = [{}])) // so that no load fails
await forgetFirst()
await post('/mode?mode=503')
await until('no stream', async () => (await streams()) === 0)
await post('/append?n=2')
last += 2
await post('/mode?mode=forgetful')
await until('a reset', () => first.evaluate(() => window.resets.length === 2))
const [, { reason, requested }] = await first.evaluate(() => window.resets)
assert.deepEqual([reason, requested.split('.')[1]], ['skipped', String(last - 2)])
assert.ok((await failures(first)).some((f) => f.kind === 'position'))
await first.evaluate(() => window.reloaded())
await until('the cursor behind the load', async () => (await stored(first)).split('.')[1] === String(last))

// Where nothing was missed, the position is that of the hop all the same.
const lives = await first.evaluate(() => window.lives)
await post('/mode?mode=forgetful')
await until('the next stream', () => first.evaluate((lives) => window.lives > lives, lives))
await post('/append?n=1')
last++
await until('the event', async () => (await stored(first)).split('.')[1] === String(last))
assert.equal(await first.evaluate(() => window.resets.length), 2)
console.log('ok')
await context.close()
process.exit(0)

async function forgetFirst() {
  await first.evaluate(() => void (window.failures = []))
}
