// Follows a stream with the EventSource of a real browser, from a page of
// another origin, and prints the same as client.mjs.
import { chromium } from 'playwright-core'

const [executablePath, page, url, last] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
try {
  const tab = await browser.newPage()
  await tab.goto(page)
  await tab.exposeFunction('print', (lines) => console.log(lines.join('\n')))
  await tab.evaluate(
    ([url, last]) =>
      new Promise((resolve, reject) => {
        let lines = []
        const flush = async () => {
          const some = lines
          lines = []
          if (some.length) await print(some)
        }
        setInterval(flush, 100)
        const source = new EventSource(url)
        source.onmessage = async (e) => {
          const seq = JSON.parse(e.data).cursor.split('.')[1]
          lines.push(`event ${seq}`)
          if (seq === last) {
            source.close()
            await flush()
            resolve()
          }
        }
        for (const name of ['cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']) {
          source.addEventListener(name, (e) => lines.push(`${name} ${e.lastEventId}`))
        }
        source.onerror = () => {
          if (source.readyState === EventSource.CLOSED) reject(new Error('closed for good'))
        }
      }),
    [url, last],
  )
} finally {
  await browser.close()
}
