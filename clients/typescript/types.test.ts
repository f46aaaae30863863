// What the types promise; compiling it is the test.
import type { components } from './openapi.js'
import { FollowError, follow, type AnyEvent, type Message, type Options, type Reset, type ServerReset } from './src/index.js'

type Schemas = components['schemas']
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

interface Shop {
  'order.created': { total: number }
  'order.paid': null
}

// The type of an event narrows its data.
export function event(e: AnyEvent<Shop>): number {
  if (e.type === 'order.created') return e.data.total
  same<typeof e.data, null>(true)
  // @ts-expect-error: paid orders have no data
  return e.data.total
}

// The event line narrows a message, and nothing is forgotten.
export function message(m: Message<Shop>): string {
  switch (m.event) {
    case 'message':
      return m.data.type
    case 'cdc.hello':
      return m.data.from
    case 'cdc.reset':
      return m.data.reason
    case 'cdc.live':
    case 'cdc.checkpoint':
      return m.id
    case 'cdc.reconnect':
      return m.id ?? ''
    default:
      return m satisfies never
  }
}

// So it does with the types that the OpenAPI document has.
export function documented(m: Schemas['GaplessMessage']): string {
  switch (m.event) {
    case 'message':
      return m.data.type
    case 'cdc.hello':
      return m.data.from
    case 'cdc.reset':
      return m.data.reason
    case 'cdc.live':
    case 'cdc.checkpoint':
      return m.id
    case 'cdc.reconnect':
      return m.id ?? ''
    default:
      return m satisfies never
  }
}

// What a page does with the MessageEvents of an EventSource.
export function received({ type, data, lastEventId }: MessageEvent<string>): string {
  const m = { event: type, id: lastEventId, data: JSON.parse(data) as unknown } as Message<Shop>
  // @ts-expect-error: a frame has no such name
  if (m.event === 'cdc.gone') return ''
  return m.event === 'message' && m.data.type === 'order.created' ? String(m.data.data.total) : message(m)
}

// They are those of the document.
type Control<Name> = Extract<Message, { event: Name }>['data']
same<keyof Schemas['GaplessReset'], keyof ServerReset>(true)
same<Schemas['GaplessReset']['reason'], ServerReset['reason']>(true)
same<Schemas['GaplessMessage']['event'], Message['event']>(true)
export const asDocumented = (m: Message): Schemas['GaplessMessage'] => m
export const hello = (data: Schemas['GaplessHello']): Control<'cdc.hello'> => data
export const serverReset = (data: Schemas['GaplessReset']): ServerReset => data
export const fields = (e: Schemas['GaplessEvent']): Omit<AnyEvent<Record<string, unknown>>, 'data'> => e

// The reason narrows a reset: only the server's has bounds.
export function reset(r: Reset): number {
  if (r.reason !== 'skipped' && r.reason !== 'unreadable') return r.head
  // @ts-expect-error: the client does not know the bounds
  return r.head
}

export function failure(err: unknown): number | undefined {
  return err instanceof FollowError && err.kind === 'refused' ? err.status : undefined
}

// What must be said cannot be forgotten.
const required: Options<Shop> = { url: '/events', user: '', onEvent() {}, async onReset() {} }
// @ts-expect-error: who asks?
follow<Shop>({ url: '/events', onEvent() {}, async onReset() {} })
// @ts-expect-error: what after a reset?
follow<Shop>({ url: '/events', user: '', onEvent() {} })
// @ts-expect-error: with exactOptionalPropertyTypes, undefined is no number
follow<Shop>({ ...required, retry: undefined })
// A load may be slow, say its cursor, or be none.
follow<Shop>({ ...required, onLive: async (first) => (first ? 'a.1' : undefined), request: async () => ({ headers: {} }) })
follow<Shop>({ ...required, onLive: () => {}, parse: (text) => JSON.parse(text) })
