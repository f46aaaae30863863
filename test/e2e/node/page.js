// Drives pages with the TypeScript client: node page.js BASE. Fails with what
// went wrong.
import assert from 'node:assert/strict'
import { open, show } from './browser.js'
import { base, count, got, has, post, sequence, stored, streams, until } from './pages.js'

const { context, page: first } = await open(base + '/')

// A first visit begins at the latest event; a later one where the last ended.
await until('a stored cursor', () => stored(first))
await post('/append?n=3')
await has(first, 1, 3)
await first.goto('about:blank')
await until('no stream', async () => (await streams()) === 0)
await post('/append?n=2')
await show(first, base + '/')
await has(first, 4, 5)

// Two tabs share a connection; the second takes over when the first is closed.
const second = await context.newPage()
await show(second, base + '/')
await post('/append?n=2')
await has(first, 4, 7)
await has(second, 6, 7)
assert.equal(await streams(), 1)
await first.close()
await post('/append?n=3')
await has(second, 6, 10)
await until('one stream', async () => (await streams()) === 1)

// The browser gives up on 503: the client does not.
await post('/mode?mode=503')
await post('/append?n=2')
await until('a refused request', async () => (await count('refused')) >= 2)
await post('/mode?mode=serve')
await has(second, 6, 12)

// A connection that says nothing is given up after three heartbeats.
const refused = await count('refused')
await post('/mode?mode=silent')
await post('/append?n=2')
await until('a silent stream', async () => (await count('refused')) >= refused + 2)
await post('/mode?mode=serve')
await has(second, 6, 14)

// After a reset events wait for the reload, and the cursor is stored when it has
// finished. A reload that fails is told and tried again.
await post('/mode?mode=503')
await until('no stream', async () => (await streams()) === 0)
await post('/append?n=3')
await post('/trim')
const before = await stored(second)
await post('/mode?mode=serve')
await until('two reloads', () => second.evaluate(() => window.resets.length === 2))
await post('/append?n=1')
await new Promise((resolve) => setTimeout(resolve, 500))
assert.deepEqual(await got(second), sequence(6, 14))
assert.equal(await stored(second), before)
await second.evaluate(() => window.reloaded())
await until('the event behind the reload', async () => (await got(second)).at(-1) === 18)
assert.equal((await stored(second)).split('.')[1], '18')
assert.ok(await second.evaluate(() => window.failures.some((f) => f.kind === 'callback')))
assert.equal(await second.evaluate(() => window.resets[0].reason), 'truncated')
assert.deepEqual(await got(second), [...sequence(6, 14), 18])
console.log('ok')
await context.close()
process.exit(0)
