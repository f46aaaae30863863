// Follows through the installed package in Node.js: node package.js BASE.
import assert from 'node:assert/strict'
import { follow } from '@gapless-go/client'

const base = process.argv[2]
const post = (path) => fetch(base + path, { method: 'POST' })
const got = []
const failures = []
await new Promise((resolve) => {
  const stop = follow({
    url: base + '/events',
    user: '',
    heartbeat: 400,
    retry: 50,
    async onLive(first) {
      if (!first) return
      await post('/append?n=3')
    },
    async onEvent(event) {
      got.push(event.data.n)
      if (event.data.n === 3) {
        await post('/mode?mode=502')
        await post('/append?n=3')
        setTimeout(() => post('/mode?mode=serve'), 300)
      }
      if (event.data.n === 6) {
        stop()
        resolve()
      }
    },
    async onReset() {},
    onError: (error) => void failures.push(error),
  })
})
assert.deepEqual(got, [1, 2, 3, 4, 5, 6])
assert.ok(failures.length > 0)
for (const { name, kind, status } of failures) assert.deepEqual([name, kind, status], ['FollowError', 'refused', 502])
console.log('ok')
// The process ends by itself: stop leaves nothing behind.
