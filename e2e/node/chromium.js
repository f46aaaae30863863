// The native EventSource of headless Chromium, driven by playwright-core.
import { controls, plain, print, resuming, urls } from './report.js'
import { open } from './browser.js'

const { page } = await open(new URL(process.env.E2E_PAGE ?? '/healthz', urls[0]).href)
await page.exposeFunction('report', (lines) => {
  for (const line of lines) print(...line)
})
await page.evaluate(
  ({ urls, controls, plain }) => {
    let lines = []
    const flush = () => {
      if (lines.length > 0) window.report(lines)
      lines = []
    }
    setInterval(flush, 20)
    urls.forEach((url, n) => {
      let last = ''
      const connect = () => {
        const target = new URL(url)
        if (last) target.searchParams.set('after', last)
        const source = new EventSource(target)
        for (const name of ['message', ...controls]) {
          source.addEventListener(name, (e) => {
            if (e.lastEventId) last = e.lastEventId
            lines.push([n, name === 'message' ? '' : name, e.lastEventId, e.data])
          })
        }
        source.onerror = () => {
          if (source.readyState !== EventSource.CLOSED) return
          lines.push([n, '#closed'])
          if (plain) return
          setTimeout(() => {
            lines.push([n, '#recreate'])
            connect()
          }, 200 + Math.random() * 300)
        }
      }
      connect()
    })
  },
  { urls: urls.map((url) => resuming(url, '')), controls, plain },
)
