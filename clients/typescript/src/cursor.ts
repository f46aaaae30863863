import type { Cursor } from './types.js'

/** What is readable of a cursor: an order within an epoch. */
export interface Position {
  epoch: string
  seq: bigint
}

/** position reads a cursor as the server writes it; other texts have none. */
export function position(cursor: Cursor): Position | undefined {
  const [, epoch, seq] = /^([\w~-]{1,64})\.(0|[1-9]\d{0,19})(?:\.[\w~-]{1,32})?$/.exec(cursor) ?? []
  return epoch && seq ? { epoch, seq: BigInt(seq) } : undefined
}

/** covers reports whether everything up to b was seen at a. */
export function covers(a: Cursor, b: Cursor): boolean {
  const [at, other] = [position(a), position(b)]
  return at !== undefined && other !== undefined && at.epoch === other.epoch && other.seq <= at.seq
}
