import { position } from './cursor.js'
import { FollowError } from './errors.js'
import type { Frame } from './stream.js'
import type { Cursor } from './types.js'

/** Which pages there are: of `size` seqs each, the last one up to `to`. */
export interface Pages {
  size: number
  to: number
}

/** A fixed range of old events: those after `from` and up to `to`. */
export interface Page {
  epoch: string
  from: bigint
  to: bigint
}

/** pageAt is the page of `size` seqs that holds what follows the cursor. */
export function pageAt(cursor: Cursor, size: bigint): Page | undefined {
  const at = position(cursor)
  const from = at && at.seq - (at.seq % size)
  return from === undefined ? undefined : { epoch: at!.epoch, from, to: from + size }
}

const tagged = (cursor: Cursor) => cursor.split('.').length > 2

/**
 * whole reads a page to its end, and returns its events and that end. A cache may have cut or mixed up what it kept: a page that does not
 * show that all of it came, or that has another event where the client is, is an error.
 */
export async function whole(frames: AsyncIterable<Frame>, { epoch, from, to }: Page, seen: Cursor): Promise<Frame[]> {
  const wrong = (what: string) => new FollowError('network', `the page ${epoch}.${from}-${to} ${what}`)
  const got: Frame[] = []
  let last: bigint | undefined
  for await (const frame of frames) {
    const { name, id, data } = frame
    const at = position(id)
    const hello = last === undefined
    if (at?.epoch !== epoch || (name === 'cdc.hello') !== hello) throw wrong(`has a message ${name} at ${id}`)
    if (at.seq === position(seen)?.seq && id !== seen && tagged(id) && tagged(seen)) throw wrong(`has ${id}, this client ${seen}`)
    if (name === 'cdc.reconnect') {
      const { events } = JSON.parse(data) as { events?: number }
      if (at.seq !== to || events !== got.length) throw wrong(`ends at ${id} after ${got.length} events`)
      return [...got, frame]
    }
    if (hello ? at.seq !== from : name.startsWith('cdc.') || at.seq <= last! || at.seq > to) throw wrong(`has ${name} ${id}`)
    if (!hello) got.push(frame)
    last = at.seq
  }
  throw wrong('has no end')
}
