// What all client programs share: the lines that they print.
//
//   {"n":0,"event":"cdc.live","id":"…","data":"{}"}   a message of the n-th URL
//   {"n":0,"event":"#closed"}     the client gave up and will not reconnect
//   {"n":0,"event":"#recreate"}   the program made a new one, which resumes
import { writeSync } from 'node:fs'

/** plain programs show what the client does by itself: nothing is made anew. */
export const plain = process.env.E2E_PLAIN === '1'

export const urls = process.argv.slice(2)

export function print(n, event, id, data) {
  const line = Buffer.from(JSON.stringify({ n, event, id, data }) + '\n')
  for (let at = 0; at < line.length; ) {
    try {
      at += writeSync(1, line, at)
    } catch (err) {
      if (err.code !== 'EAGAIN') throw err
    }
  }
}

/** Runs a client for every URL and makes it anew, from where it was, when it has closed. */
export function run(connect) {
  // The test ends the program by closing its standard input.
  process.stdin.on('end', () => process.exit(0)).resume()
  urls.forEach((url, n) => {
    let last = ''
    const message = (event, id, data) => {
      if (id) last = id
      print(n, event === 'message' ? '' : event ?? '', id ?? '', data ?? '')
    }
    const closed = () => {
      print(n, '#closed')
      if (plain) return
      setTimeout(() => {
        print(n, '#recreate')
        connect(url, last, message, closed)
      }, 200 + Math.random() * 300)
    }
    connect(url, last, message, closed)
  })
}

/** resuming is the URL from which a client without a Last-Event-ID of its own goes on. */
export function resuming(url, last) {
  const u = new URL(url)
  if (last) u.searchParams.set('after', last)
  return u.href
}

/** The names that Gapless gives to its control frames: a native EventSource must name them. */
export const controls = ['cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']
