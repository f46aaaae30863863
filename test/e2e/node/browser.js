// Starts headless Chromium with a profile of its own and opens a page.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const executablePath =
  process.env.GAPLESS_CHROMIUM ??
  ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser'].find((p) => existsSync(p))

/** open resolves with a context and a page that shows the URL. */
export async function open(url, { cookies } = {}) {
  const profile = mkdtempSync(join(process.env.E2E_TMP ?? tmpdir(), 'chromium-'))
  if (cookies === 'refused') {
    // As a user does in the settings: with the cookies go storage and locks.
    mkdirSync(join(profile, 'Default'))
    writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }))
  }
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server', '--ignore-certificate-errors',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  })
  const end = async () => {
    await context.close().catch(() => {})
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    process.exit(0)
  }
  // The test ends the program by closing its standard input.
  process.stdin.on('end', end).resume()
  process.on('SIGTERM', end)
  const page = context.pages()[0] ?? (await context.newPage())
  await show(page, url)
  return { context, page }
}

/** show resolves when the page shows the URL, however often the connection is cut. */
export async function show(page, url) {
  for (;;) {
    try {
      return await page.goto(url)
    } catch (err) {
      // A page that could not be loaded becomes an error page, which may come only after the next try has begun.
      if (!/net::|chrome-error:/.test(String(err))) throw err
    }
  }
}
