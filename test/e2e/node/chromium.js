// Follows in a page of headless Chromium: node chromium.js NAME URL… NAME URL…
// follows the URLs behind a name with the client of node/page/NAME.js.
import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'
import { open } from './browser.js'
import { print, settings, urls } from './report.js'

const { page } = await open(new URL(process.env.E2E_PAGE ?? '/healthz', urls[0]).href)
await page.exposeFunction('report', (lines) => {
  for (const line of lines) print(...line)
})
const tasks = []
for (const arg of process.argv.slice(2)) {
  if (arg.includes('://')) tasks.at(-1).urls.push(arg)
  else tasks.push({ name: arg, urls: [] })
}
let n = 0
for (const { name, urls } of tasks) {
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as client from './page/${name}.js'; import { run } from './page/run.js'; window.follow = (...args) => run(client, ...args)`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    format: 'iife',
    write: false,
  })
  await page.evaluate(outputFiles[0].text)
  await page.evaluate((task) => window.follow(task), { urls, settings, first: n })
  n += urls.length
}
