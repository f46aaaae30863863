// Given cases of JSON, {base, streams, open, answered}, opens streams in a page
// and, when as many as expected are open, sends an ordinary request. Prints for
// each case how many opened and whether the request was answered: if not, the
// streams are closed, and only then the answer must come.
import { open, show } from './browser.js'

const cases = process.argv.slice(2).map((text) => JSON.parse(text))
const { context, page } = await open(cases[0].base + '/')
const results = []
for (const one of cases) {
  await show(page, one.base + '/')
  results.push(await page.evaluate(async ({ streams, open, answered: expected }) => {
    let opened = 0
    const sources = []
    await new Promise((resolve) => {
      for (let i = 0; i < streams; i++) {
        const source = new EventSource('/events')
        source.onopen = () => ++opened === open && resolve()
        sources.push(source)
      }
    })
    let answered = false
    // Chromium gives up what waits for a connection when an address of the machine changes.
    const ask = () => fetch('/ping', { cache: 'no-store' }).catch(ask)
    const request = ask().then(() => (answered = true))
    await Promise.race([request, new Promise((resolve) => setTimeout(resolve, expected ? 30000 : 500))])
    const result = { open: opened, answered }
    for (const source of sources) source.close()
    await request // there is a connection for it now
    return result
  }, one))
}
console.log(JSON.stringify(results))
await context.close()
process.exit(0)
