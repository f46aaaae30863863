// Drives pages with the TypeScript client through trouble: node tabs.js BASE.
// Fails with what went wrong.
import assert from 'node:assert/strict'
import { open, show } from './browser.js'
import { base, count, got, has, live, post, sequence, stored, streams, until } from './pages.js'

const { context, page: blank } = await open(base + '/blank')
let last = 0 // event
const append = async (n) => {
  await post(`/append?n=${n}`)
  last += n
}
const tab = async () => {
  const page = await context.newPage()
  await show(page, base + '/')
  return page
}

// Tabs that start at once share one connection, and each gets everything.
const tabs = await Promise.all([tab(), tab(), tab()])
await Promise.all(tabs.map(live))
await append(3)
for (const page of tabs) await has(page, 1, 3)
assert.equal(await streams(), 1)

// A tab that is opened later learns that it is live, and tells no other tab again.
const late = await tab()
await live(late)
assert.deepEqual(await Promise.all(tabs.map((page) => page.evaluate(() => window.lives))), [1, 1, 1])

// Each tab has what came since it was opened.
const since = new Map([...tabs.map((page) => [page, 1]), [late, last + 1]])
const complete = async (pages) => {
  for (const page of pages) await has(page, since.get(page), last)
}
const holder = async () => {
  for (const page of since.keys()) {
    if (await page.evaluate(() => window.connected())) return page
  }
}
const all = () => [...since.keys()]

// The tab with the connection hangs: another takes over, and the hung one
// misses nothing when it wakes up. Then that other hangs, too.
for (let i = 0; i < 2; i++) {
  const [opened, hung] = [await count('opened'), await holder()]
  const woken = hung.evaluate(() => {
    for (const end = Date.now() + 6000; Date.now() < end; );
  })
  await until('another tab to connect', async () => (await count('opened')) > opened)
  await append(4)
  await complete(all().filter((page) => page !== hung))
  await woken
  await append(1)
  await complete(all())
  await until('one stream', async () => (await streams()) === 1)
}

// The tab with the connection crashes.
const crashed = await holder()
const session = await context.newCDPSession(crashed)
session.send('Page.crash').catch(() => {}) // there is no answer
await crashed.waitForEvent('crash')
since.delete(crashed)
await append(2)
await complete(all())
await until('one stream', async () => (await streams()) === 1)
const one = all().at(-1)
for (const page of all()) if (page !== one) await page.close()

// A handler that throws loses nothing but its own work.
await one.evaluate(() => {
  window.onevent = (e) => {
    if (e.data.n % 2) throw new Error('no')
  }
})
await append(4)
await has(one, since.get(one), last)

// A second reset while the state is reloaded for the first: loads come one
// after the other, events and the cursor behind them.
await one.evaluate(() => {
  window.running = window.most = 0
  window.reload = async () => {
    window.most = Math.max(window.most, ++window.running)
    await new Promise((resolve) => (window.reloaded = resolve))
    window.running--
  }
})
const reset = async (n) => {
  await post('/mode?mode=503')
  await until('no stream', async () => (await streams()) === 0)
  await append(3)
  await post('/trim')
  await post('/mode?mode=serve')
  await until(`reset ${n}`, async () => (await count('resets')) >= n)
}
const before = await stored(one)
await reset(1)
await until('a reload', () => one.evaluate(() => window.running === 1))
await reset(2)
const had = await got(one)
await append(1)
await until('the event to be sent', async () => (await streams()) === 1)
assert.equal(await stored(one), before)
await one.evaluate(() => window.reloaded())
await until('the second reload', () => one.evaluate(() => window.resets.length === 2 && window.running === 1))
assert.deepEqual(await got(one), had)
await one.evaluate(() => window.reloaded())
await until('the event', async () => (await got(one)).at(-1) === last)
assert.equal((await stored(one)).split('.')[1], String(last))
assert.equal(await one.evaluate(() => window.most), 1)

// A tab that is closed before its reload is done: the next page is reset again.
await reset(3)
await one.close()
await until('no stream', async () => (await streams()) === 0)
const again = await tab()
await until('a reset', () => again.evaluate(() => window.resets.length > 0))
await again.close()

// Storage that is full: nothing is stored, everything else goes on.
await until('no stream', async () => (await streams()) === 0)
await blank.evaluate(() => {
  localStorage.clear()
  for (let size = 1 << 22; size >= 1; ) {
    try {
      localStorage.setItem('junk' + size + Math.random(), 'x'.repeat(size))
    } catch {
      size >>= 1
    }
  }
})
const from = last + 1
const full = await tab()
await live(full)
await append(3)
await has(full, from, last)
assert.equal(await stored(full), null)
assert.deepEqual(await full.evaluate(() => window.failures), [])
await full.close()
await blank.evaluate(() => localStorage.clear())

// stop ends everything, and another tab goes on.
const [stopped, other] = [await tab(), await tab()]
await Promise.all([live(stopped), live(other)])
await stopped.evaluate(() => window.stop())
const start = last + 1
await append(2)
await has(other, start, last)
assert.deepEqual(await got(stopped), [])
await until('one stream', async () => (await streams()) === 1)
await other.evaluate(() => window.stop())
await until('no stream', async () => (await streams()) === 0)
await context.close()

// A browser that refuses storage and locks: each tab has its own connection.
const refusing = await open(base + '/blank', { cookies: 'refused' })
const alone = []
for (let i = 0; i < 2; i++) {
  const page = await refusing.context.newPage()
  await show(page, base + '/')
  await live(page)
  alone.push(page)
}
assert.equal(await alone[0].evaluate(() => { try { return String(localStorage) } catch (err) { return err.name } }), 'SecurityError')
await append(2)
for (const page of alone) await has(page, last - 1, last)
assert.equal(await streams(), 2)
console.log('ok')
await refusing.context.close()
process.exit(0)
