// Follows a Gapless endpoint from a page: events in order and without a gap,
// from where the browser was when a page was last open. All tabs share one
// connection: the one that holds a lock leads, and passes on what comes.
import type { components } from './openapi.js'

type Schemas = components['schemas']
export type Reset = Schemas['GaplessReset']
/** An event of a type; Events maps each type to its payload. */
export type EventOf<Events, K extends keyof Events> = Omit<Schemas['GaplessEvent'], 'type' | 'data'> & { type: K; data: Events[K] }
export type AnyEvent<Events> = { [K in keyof Events]: EventOf<Events, K> }[keyof Events]

export interface Options<Events> {
  /** Of the endpoint, with filters; tabs with the same URL share a connection and a cursor. */
  url: string
  /** Is called in every tab, in order. The cursor is stored when it has returned; an error that it throws is reported, and the next event comes. */
  onEvent(event: AnyEvent<Events>): void
  /** Events may have been skipped: reload your state. Never runs twice at a time. The cursor is stored when the promise has resolved; a failure is tried again. */
  onReset(reset: Reset): Promise<void>
  /** The history of this tab is over: at first, and after each new connection. */
  onLive?(): void
  /** Longest silence of the server in ms (its Options.Heartbeat): 15 s unless told otherwise. Three of them end a connection. */
  heartbeat?: number
  /** Mean pause in ms before a connection is made anew: 3 s unless told otherwise. */
  retry?: number
}

type Message = { name: string; id: string; data: string }
/** What tabs tell each other: the leader its term and what came; term 0 asks who leads. */
type Note = { term: number; message?: Message }
const names = ['message', 'cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']
const jitter = (ms: number) => ms * (0.5 + Math.random())
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const place = (cursor: string) => {
  const [epoch, seq] = cursor.split('.')
  return { epoch, seq: BigInt(seq ?? 0) }
}
// A browser may refuse storage, or have none left: then pages begin at the latest event, or at an older cursor.
const attempt = <T>(access: () => T) => {
  try {
    return access()
  } catch {
    return undefined
  }
}

/** follow follows until the function that it returns is called. */
export function follow<Events>(options: Options<Events>): () => void {
  const { heartbeat = 15_000, retry = 3_000 } = options
  const key = 'gapless ' + new URL(options.url, location.href).href
  const stored = () => attempt(() => localStorage.getItem(key)) ?? ''
  const channel = new BroadcastChannel(key)
  let seen = stored() // everything up to here came to this tab
  let [leading, alone, live, reloading] = [false, false, false, false]
  let term = 0 // of the newest leader that was heard of
  let turn = new AbortController() // of the request for the lock
  let waiting: Reset | undefined
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let beat: ReturnType<typeof setInterval> | undefined

  const post = (message?: Message) => alone || channel.postMessage({ term, message } satisfies Note)
  const store = () => leading && !reloading && seen && attempt(() => localStorage.setItem(key, seen))
  const reload = async (reset: Reset) => {
    waiting = reset
    if (reloading) return // it is done once more
    for (reloading = true; waiting && !turn.signal.aborted; ) {
      const now: Reset = waiting
      waiting = undefined
      try {
        await options.onReset(now)
      } catch (err) {
        console.error(err)
        await sleep(jitter(retry))
        waiting ??= now
      }
    }
    reloading = false
    if (!turn.signal.aborted) store()
  }
  const take = ({ name, id, data }: Message) => {
    const [at, was] = [place(id), place(seen)]
    const known = seen !== '' && at.epoch === was.epoch && at.seq <= was.seq
    if (name === 'message' && known) return // a new leader was a little behind this tab
    if (name === 'cdc.hello') live = false
    // A hello may stand before a reset: it says where to start only when there is no cursor.
    if (name === 'cdc.hello' && seen !== '') return
    if (id && (!known || name === 'cdc.reset')) seen = id
    if (name === 'cdc.reset') void reload(JSON.parse(data))
    try {
      if (name === 'message') options.onEvent(JSON.parse(data))
      if (name === 'cdc.live' && !live) options.onLive?.()
    } finally {
      live ||= name === 'cdc.live'
      store()
    }
  }
  // Without a sign of life, the leader makes a new connection; another tab takes the lead from one that hangs.
  const alive = () => {
    clearTimeout(timer)
    timer = setTimeout(() => (leading ? again() : claim(true)), heartbeat * (3 + Math.random()))
  }
  const again = () => {
    source?.close()
    clearTimeout(timer)
    timer = setTimeout(connect, jitter(retry))
  }
  const connect = () => {
    const url = new URL(options.url, location.href)
    url.searchParams.set('heartbeat', 'event')
    if (seen) url.searchParams.set('after', seen)
    const mine = (source = new EventSource(url))
    alive()
    for (const name of names) {
      mine.addEventListener(name, (e: MessageEvent<string>) => {
        if (mine !== source || !leading) return
        alive()
        const message = { name, id: e.lastEventId, data: e.data }
        post(message) // first the other tabs: what is stored has reached them
        take(message)
      })
    }
    // The browser would go on from its own last id, which may be that of a hello whose reset was cut off, and gives up on some errors.
    mine.onerror = () => mine === source && again()
  }
  const lead = (signal: AbortSignal) => {
    if (signal.aborted) return
    leading = true
    term = Math.max(Date.now(), term + 1) + Math.random() // no two are the same
    post()
    beat = setInterval(post, heartbeat) // also while the server is away
    seen ||= stored()
    connect()
    return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  }
  const rest = () => {
    leading = false
    source?.close()
    source = undefined
    clearInterval(beat)
    clearTimeout(timer)
    turn.abort()
  }
  const claim = (steal = false) => {
    rest()
    alive()
    const mine = (turn = new AbortController())
    navigator.locks.request(key, steal ? { steal } : { signal: mine.signal }, () => lead(mine.signal)).catch((err) => {
      if (mine !== turn || mine.signal.aborted) return
      if (err.name === 'AbortError') return claim() // it was taken from this tab
      alone = true // the browser refuses locks, as it does without storage
      channel.close()
      void lead(mine.signal)
    })
  }
  channel.onmessage = ({ data: { term: theirs, message } }: MessageEvent<Note>) => {
    if (theirs === 0 && leading) post(live ? { name: 'cdc.live', id: seen, data: '{}' } : undefined)
    if (theirs === 0 || theirs < term) return // a leader that hung and does not know that it was replaced
    if (leading) claim() // this tab is the one that hung: it has what came before, the rest is passed on
    term = theirs
    alive()
    if (message) take(message)
  }
  post()
  claim()
  return () => {
    rest()
    channel.close()
    alone = true
  }
}
