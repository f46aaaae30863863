// What all client programs share: the lines that they print.
//
//   {"n":0,"event":"cdc.live","id":"…","data":"{}"}   a message of the n-th URL
//   {"n":0,"event":"#closed"}     the client gave up and will not reconnect
//   {"n":0,"event":"#silent"}     nothing came for too long: the program ended it
//   {"n":0,"event":"#position"}   the stream began elsewhere: the program ended it
//   {"n":0,"event":"#recreate"}   the program made a new one, which resumes
//   {"n":0,"event":"#error","data":"…"}   the client says what failed, and goes on
import { writeSync } from 'node:fs'
import { follow } from './follow.js'

/** plain programs show what the client does by itself: nothing is made anew. */
const plain = process.env.E2E_PLAIN === '1'

/** silence is the time in ms after which a stream without messages is taken for dead, 0 for never. */
const silence = Number(process.env.E2E_SILENCE ?? 0)

export const settings = { plain, silence }

export const urls = process.argv.slice(2).filter((arg) => arg.includes('://'))

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

/** Runs a client for every URL. */
export function run(connect) {
  // The test ends the program by closing its standard input.
  process.stdin.on('end', () => process.exit(0)).resume()
  urls.forEach((url, n) => follow(connect, url, settings, (...line) => print(n, ...line)))
}
