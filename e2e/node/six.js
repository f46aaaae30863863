// Opens streams in one page and, when as many as expected are open, sends an
// ordinary request. Prints how many opened and whether it was answered: if
// not, one of the streams is closed, and only then the answer must come.
import { open } from './browser.js'

const [base, streams, expected] = process.argv.slice(2)
const { context, page } = await open(base + '/')
const result = await page.evaluate(
  async ({ streams, expected }) => {
    let opened = 0
    const sources = []
    await new Promise((resolve) => {
      for (let i = 0; i < streams; i++) {
        const source = new EventSource('/events')
        source.onopen = () => ++opened === expected && resolve()
        sources.push(source)
      }
    })
    let answered = false
    const request = fetch('/ping', { cache: 'no-store' }).then(() => (answered = true))
    await Promise.race([request, new Promise((resolve) => setTimeout(resolve, expected < streams ? 500 : 30000))])
    const result = { open: opened, answered }
    for (const source of sources) source.close()
    await request // there is a connection for it now
    return result
  },
  { streams: Number(streams), expected: Number(expected) },
)
console.log(JSON.stringify(result))
await context.close()
process.exit(0)
