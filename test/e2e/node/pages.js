// What the programs that drive pages with the TypeScript client share: the
// server has GET /counts, and POST /append, /mode and /trim.
import assert from 'node:assert/strict'

export const base = process.argv[2]

export async function post(path) {
  assert.equal((await fetch(base + path, { method: 'POST' })).status, 200)
}

/** How many streams, opened, refused or resets there are. */
export async function count(name) {
  return (await (await fetch(base + '/counts')).json())[name]
}

export const streams = () => count('streams')

export async function until(what, done) {
  for (let i = 0; !(await done()); i++) {
    assert.ok(i < 1500, `waited for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export const sequence = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** The numbers of the events that the page got. */
export const got = (page) => page.evaluate(() => window.got.map((e) => e.data.n))

/** The cursor that pages have stored, or null. */
export const stored = (page) => page.evaluate(() => localStorage.getItem(Object.keys(localStorage).find((k) => k.startsWith('gapless '))))

export const live = (page) => until('it to be live', () => page.evaluate(() => window.lives > 0))

/** Waits for the last event, and then exactly those from the first to it must be there. */
export async function has(page, from, to) {
  await until(`${from} to ${to}, has ${await got(page)}`, async () => (await got(page)).at(-1) >= to)
  assert.deepEqual(await got(page), sequence(from, to))
}
