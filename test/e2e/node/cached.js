// Follows through the installed package, by pages: node cached.js URL N. It
// prints the events up to number N, and what failed.
import { follow } from '@gapless-go/client'

const [url, last] = [process.argv[2], Number(process.argv[3])]
const [got, failures] = [[], []]
let resets = 0
await new Promise((resolve) => {
  const stop = follow({
    url,
    user: '',
    pages: 1,
    retry: 20,
    async onReset() {
      resets++
    },
    onEvent({ data }) {
      got.push(data)
      if (data < last) return
      stop()
      resolve()
    },
    onError: ({ kind, message }) => void failures.push(`${kind}: ${message}`),
  })
})
console.log(JSON.stringify({ got, failures, resets }))
