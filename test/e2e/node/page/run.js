// The lines of a page go to the program that drives it, a few at a time.
import { follow } from '../follow.js'

/** run follows with a module of this folder. One that exports watches ends a silent connection by itself. */
export function run({ default: connect, watches = false }, { urls, settings, first }) {
  let lines = []
  setInterval(() => {
    if (lines.length > 0) window.report(lines)
    lines = []
  }, 20)
  const { plain, silence } = settings
  urls.forEach((url, i) => {
    follow(connect, url, { plain, silence: watches ? 0 : silence }, (...line) => lines.push([first + i, ...line]))
  })
}
