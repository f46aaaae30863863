// Follows a Gapless endpoint from a page: events in order and without a gap,
// from where the browser was when a page was last open. All tabs share one
// connection: one of them holds a lock and passes on what comes.
import type { components } from './openapi.js'

type Schemas = components['schemas']
export type Reset = Schemas['GaplessReset']
/** An event of a type; Events maps each type to its payload. */
export type EventOf<Events, K extends keyof Events> = Omit<Schemas['GaplessEvent'], 'type' | 'data'> & { type: K; data: Events[K] }
export type AnyEvent<Events> = { [K in keyof Events]: EventOf<Events, K> }[keyof Events]

export interface Options<Events> {
  /** Of the endpoint, with filters; tabs with the same URL share a connection and a cursor. */
  url: string
  /** Is called in every tab, in order. The cursor is stored when it has returned. */
  onEvent(event: AnyEvent<Events>): void
  /** Events may have been skipped: reload your state. The cursor is stored when the promise has resolved; a failure is tried again. */
  onReset(reset: Reset): Promise<void>
  /** The history of this tab is over. */
  onLive?(): void
  /** Longest silence of the server in ms (its Options.Heartbeat): 15 s unless told otherwise. Three of them end a connection. */
  heartbeat?: number
  /** Mean pause in ms before a connection is made anew: 3 s unless told otherwise. */
  retry?: number
}

type Message = { name: string; id: string; data: string }
const names = ['message', 'cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']
const jitter = (ms: number) => ms * (0.5 + Math.random())
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const place = (cursor: string) => {
  const [epoch, seq] = cursor.split('.')
  return { epoch, seq: BigInt(seq ?? 0) }
}

/** follow follows until the function that it returns is called. */
export function follow<Events>(options: Options<Events>): () => void {
  const { heartbeat = 15_000, retry = 3_000 } = options
  const key = 'gapless ' + new URL(options.url, location.href).href
  const channel = new BroadcastChannel(key)
  const ended = new AbortController()
  let leading = false
  let seen = localStorage.getItem(key) ?? '' // everything up to here came to this tab
  let reloading = 0
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined

  const store = () => leading && reloading === 0 && seen && localStorage.setItem(key, seen)
  const reload = async (reset: Reset) => {
    for (reloading++; !ended.signal.aborted; await sleep(jitter(retry))) {
      try {
        await options.onReset(reset)
        break
      } catch (err) {
        console.error(err)
      }
    }
    if (ended.signal.aborted) return
    reloading--
    store()
  }
  const take = ({ name, id, data }: Message) => {
    const [at, was] = [place(id), place(seen)]
    const known = seen !== '' && at.epoch === was.epoch && at.seq <= was.seq
    if (name === 'message' && known) return // a new leader was a little behind this tab
    // A hello may stand before a reset: it says where to start only when there is no cursor.
    if (name === 'cdc.hello' && seen !== '') return
    if (id && (!known || name === 'cdc.reset')) seen = id
    if (name === 'cdc.reset') void reload(JSON.parse(data))
    if (name === 'cdc.live') options.onLive?.()
    try {
      if (name === 'message') options.onEvent(JSON.parse(data))
    } finally {
      store()
    }
  }
  const again = () => {
    source?.close()
    clearTimeout(timer)
    timer = setTimeout(connect, jitter(retry))
  }
  const alive = () => {
    clearTimeout(timer)
    timer = setTimeout(again, 3 * heartbeat)
  }
  const connect = () => {
    const url = new URL(options.url, location.href)
    url.searchParams.set('heartbeat', 'event')
    // After a reset the old cursor counts until the state is reloaded.
    const from = reloading > 0 ? localStorage.getItem(key) : seen
    if (from) url.searchParams.set('after', from)
    const mine = (source = new EventSource(url))
    alive()
    for (const name of names) {
      mine.addEventListener(name, (e: MessageEvent<string>) => {
        if (mine !== source || ended.signal.aborted) return
        alive()
        const message = { name, id: e.lastEventId, data: e.data }
        channel.postMessage(message) // first the other tabs: what is stored has reached them
        take(message)
      })
    }
    // The browser would go on from its own last id, which may be that of a hello whose reset was cut off, and gives up on some errors.
    mine.onerror = () => mine === source && again()
  }
  channel.onmessage = (e: MessageEvent<Message>) => leading || take(e.data)
  const lead = () => {
    leading = true
    connect()
    return new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve()))
  }
  navigator.locks.request(key, { signal: ended.signal }, lead).catch(() => {}) // it ended before its turn came
  return () => {
    ended.abort()
    clearTimeout(timer)
    source?.close()
    channel.close()
  }
}
