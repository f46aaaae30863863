// Slow loads in pages with the TypeScript client: node loads.js BASE. Fails with
// what went wrong.
import assert from 'node:assert/strict'
import { open, show } from './browser.js'
import { base, got, post, stored, streams, until } from './pages.js'

const { context, page } = await open(base + '/blank')
// A page that shows what the server says, and what events say after that. Its
// first load gets an old state and takes a while to get here.
const loading = async ({ cursor }) => {
  window.steps = []
  window.shown = 0
  const load = async () => {
    const state = await (await fetch('/state')).json()
    window.loading = true
    await new Promise((resolve) => (window.arrive = resolve))
    window.loading = false
    window.shown = state.n
    window.steps.push('load ' + state.n)
    return cursor ? state.cursor : undefined
  }
  window.options = {
    onLive: (first) => (first ? load() : undefined),
    onReset: load,
    onEvent(event) {
      window.got.push(event)
      window.shown = event.data.n
      window.steps.push('event ' + event.data.n)
    },
  }
}
const steps = (tab) => tab.evaluate(() => window.steps)
const shown = (tab) => tab.evaluate(() => window.shown)
const during = (tab) => until('a load', () => tab.evaluate(() => window.loading === true))
let last = 0
const append = async (n) => {
  await post('/append?n=' + n)
  last += n
}
await append(2)

for (const cursor of [false, true]) {
  await page.evaluate(() => localStorage.clear())
  const tab = await context.newPage()
  await tab.addInitScript(loading, { cursor })
  await show(tab, base + '/')

  // An update while the first load is on its way is applied after it.
  await during(tab)
  const loaded = last
  await append(2)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  assert.deepEqual(await steps(tab), [])
  assert.equal(await stored(tab), null)
  await tab.evaluate(() => window.arrive())
  await until('the update', async () => (await shown(tab)) === last)
  assert.deepEqual(await steps(tab), [`load ${loaded}`, `event ${loaded + 1}`, `event ${loaded + 2}`])
  assert.equal((await stored(tab)).split('.')[1], String(last))

  // The same after a reset.
  await tab.evaluate(() => (window.steps = []))
  await post('/mode?mode=503')
  await until('no stream', async () => (await streams()) === 0)
  await append(1)
  await post('/trim')
  await post('/mode?mode=serve')
  await during(tab)
  await append(1)
  await tab.evaluate(() => window.arrive())
  await until('the update', async () => (await shown(tab)) === last)
  assert.deepEqual(await steps(tab), [`load ${last - 1}`, `event ${last}`])
  await tab.close()
  await until('no stream', async () => (await streams()) === 0)
}

// A load that holds events which the stream brings later.
await page.evaluate(() => localStorage.clear())
const ahead = await context.newPage()
await ahead.addInitScript(() => {
  window.steps = []
  window.options = {
    async onLive(first) {
      if (!first) return undefined
      await new Promise((resolve) => (window.begin = resolve))
      const { n, cursor } = await (await fetch('/state')).json()
      window.steps.push('load ' + n)
      return cursor
    },
    onEvent: (event) => void window.steps.push('event ' + event.data.n),
  }
})
await show(ahead, base + '/')
await until('a load', () => ahead.evaluate(() => window.begin !== undefined))
await append(3) // they wait, and the load has them
await ahead.evaluate(() => window.begin())
await until('the load', async () => (await steps(ahead)).length > 0)
await append(1)
await until('the update', async () => (await steps(ahead)).at(-1) === `event ${last}`)
assert.deepEqual(await steps(ahead), [`load ${last - 1}`, `event ${last}`])

// Numbers reach a page as they were sent, if it reads them so.
const exact = await context.newPage()
await exact.addInitScript(() => {
  window.options = {
    parse: (text) => JSON.parse(text, (_, value, { source } = {}) => (typeof value === 'number' && !Number.isSafeInteger(value) ? BigInt(source) : value)),
    onEvent: (event) => void window.got.push({ data: { n: String(event.data.n) } }),
  }
})
await show(exact, base + '/')
await until('it to be live', () => exact.evaluate(() => window.lives > 0))
await post('/append?data=' + encodeURIComponent('{"n":12345678901234567890}'))
await until('the number', async () => (await got(exact)).length === 1)
assert.deepEqual(await got(exact), ['12345678901234567890'])
console.log('ok')
await context.close()
process.exit(0)
