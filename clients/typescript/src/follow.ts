import { covers, position } from './cursor.js'
import { FollowError, type FailureKind } from './errors.js'
import { pageAt, whole, type Pages } from './page.js'
import { State } from './state.js'
import { open, type Frame } from './stream.js'
import { join, type Tabs } from './tabs.js'
import { pause, sleep } from './time.js'
import type { Cursor, Options, Reset } from './types.js'

/**
 * follow follows an endpoint until the function that it returns is called: events in order and without a gap, from where the browser was
 * when a page was last open. All tabs of a user share one connection: one of them leads, and passes on what comes.
 */
export function follow<Events>(options: Options<Events>): () => void {
  const follower = new Follower(options)
  return () => follower.stop()
}

/** A failure as it passes from tab to tab, where an Error would lose its fields. */
interface Failure {
  kind: FailureKind
  message: string
  status: number | undefined
}

// A browser may refuse storage, or have none left: then pages begin at the latest event, or at an older cursor.
const attempt = <T>(access: () => T): T | undefined => {
  try {
    return access()
  } catch {
    return undefined
  }
}

class Follower<Events> {
  readonly #options: Options<Events>
  readonly #address: URL
  readonly #key: string // of the lock, the channel and the cursor
  readonly #heartbeat: number
  readonly #state: State<Events>
  readonly #tabs: Tabs<Frame | Failure>
  readonly #users: BroadcastChannel // where each tab says for whom it follows
  readonly #stopped = new AbortController()
  #retry: number
  #began = Infinity // when the first message of the connection came, in ms
  #leading = false
  #live = false
  #seen: Cursor = '' // everything up to here came to this tab
  #pages = 0 // as in Options, but 0 from when one was wrong until the client is live

  constructor(options: Options<Events>) {
    this.#options = options
    this.#pages = options.pages ?? 0
    this.#address = new URL(options.url, globalThis.location?.href)
    this.#key = `gapless ${options.user} ${this.#address.href}`
    this.#heartbeat = options.heartbeat ?? 15_000
    this.#retry = options.retry ?? 3_000
    this.#state = new State(options, {
      signal: this.#stopped.signal,
      retry: () => this.#retry,
      report: (kind, message, cause) => this.#report(kind, message, undefined, cause),
      reached: (cursor) => this.#store(cursor),
    })
    this.#tabs = join<Frame | Failure>(this.#key, this.#heartbeat, {
      lead: (signal) => void this.#lead(signal),
      take: (body) => ('kind' in body ? this.#report(body.kind, body.message, body.status) : this.#take(body)),
      greet: () => (this.#live ? { name: 'cdc.live', id: this.#seen, data: '{}', retry: 0 } : undefined),
    })
    this.#users = new BroadcastChannel('gapless ' + this.#address.href)
    this.#users.onmessage = ({ data }: MessageEvent<string>) => this.#joined(data)
    this.#users.postMessage(options.user)
  }

  stop(): void {
    this.#stopped.abort()
    this.#tabs.leave()
    this.#users.close()
  }

  // The browser's cookies are those of the last who logged in: a tab of someone else would get that one's events when it reconnects.
  #joined(user: string): void {
    if (this.#options.request || user === this.#options.user) return
    this.#report('user', 'another tab follows for another user')
    this.stop()
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#leading = true
    signal.addEventListener('abort', () => (this.#leading = false))
    this.#restore()
    for (let failures = 0; !signal.aborted; failures++) {
      const before = this.#seen
      this.#began = Infinity
      try {
        const pages = await this.#connect(signal)
        if (pages && (await this.#readPages(pages, signal))) {
          failures = -1
          continue
        }
      } catch (err) {
        if (signal.aborted) return
        const { kind, message, status } = err instanceof FollowError ? err : new FollowError('network', String(err))
        this.#tabs.post({ kind, message, status })
        this.#report(kind, message, status, err)
      }
      // A slow refusal is no success: the time counts from the first message.
      if (this.#seen !== before || Date.now() - this.#began > this.#retry) failures = 0
      await sleep(pause(this.#retry, failures), signal)
    }
  }

  /** Follows a stream to its end, and returns the pages with which the server wants the client to go on. */
  async #connect(signal: AbortSignal): Promise<Pages | undefined> {
    let pages: Pages | undefined
    for await (const frame of this.#open(signal, { after: this.#seen, logpages: String(this.#pages || '') })) {
      if (signal.aborted) return undefined
      this.#began = Math.min(this.#began, Date.now())
      this.#retry = frame.retry || this.#retry
      this.#pass(frame)
      if (frame.name === 'cdc.reconnect') pages = (JSON.parse(frame.data) as { pages?: Pages }).pages
    }
    return pages
  }

  async *#open(signal: AbortSignal, query: Record<string, string>, cache?: RequestCache): AsyncGenerator<Frame, void, undefined> {
    const url = new URL(this.#address)
    for (const [name, value] of Object.entries({ user: this.#options.user, ...query })) if (value) url.searchParams.set(name, value)
    const init = { ...(await this.#options.request?.()), ...(cache && { cache }) }
    yield* open({ url, init, silence: 3 * this.#heartbeat, signal, alive: () => this.#tabs.post() })
  }

  /** Reads pages to the last one, and reports whether that brought the client forward. One that is wrong leaves it where it was. */
  async #readPages({ size, to }: Pages, signal: AbortSignal): Promise<boolean> {
    const [before, asked] = [this.#seen, this.#pages]
    this.#pages = 0 // unless they are right, the stream goes on from here
    for (let page; (page = pageAt(this.#seen, BigInt(size))) && page.to <= BigInt(to); ) {
      const query = { logpage: `${page.epoch}.${page.from}-${page.to}` }
      for (const frame of await whole(this.#open(signal, query, 'default'), page, this.#seen)) {
        if (signal.aborted) return false
        this.#pass(frame)
      }
    }
    if (this.#seen === before) return false
    this.#pages = asked
    return true
  }

  #pass(frame: Frame): void {
    this.#tabs.post(frame) // first the other tabs: what is stored has reached them
    this.#take(frame)
  }

  #take(frame: Frame): void {
    const { name, id } = frame
    const known = covers(this.#seen, id)
    if (known && !name.startsWith('cdc.')) return // a new leader was a little behind this tab
    if (name === 'cdc.live' && this.#live) return // for another tab, which asked
    if (name === 'cdc.hello') return this.#greeted(frame)
    this.#live ||= name === 'cdc.live'
    if (name === 'cdc.live') this.#pages = this.#options.pages ?? 0
    if (id && (!known || name === 'cdc.reset')) this.#seen = id
    this.#state.push(frame, this.#seen)
  }

  // A hello that a reset follows has the cursor that was asked for. One with a later cursor shows that the request lost it.
  #greeted({ data }: Frame): void {
    const { from } = JSON.parse(data) as { from: Cursor }
    const asked = (this.#seen ||= from)
    this.#live = false
    if (covers(asked, from)) return
    this.#report('position', `asked to go on after ${asked}, the stream began after ${from}: something on the way drops "after" from the query`)
    this.#reset('skipped', asked, from)
  }

  #reset(reason: 'unreadable' | 'skipped', requested: string, id: Cursor): void {
    this.#take({ name: 'cdc.reset', id, data: JSON.stringify({ reason, requested } satisfies Reset), retry: 0 })
  }

  #restore(): void {
    const text = attempt(() => localStorage.getItem(this.#key))
    if (this.#seen || !text) return
    if (position(text)) {
      this.#seen = text
      return
    }
    this.#report('position', `the stored cursor ${JSON.stringify(text.slice(0, 200))} cannot be read`)
    this.#reset('unreadable', text, '')
  }

  #store(cursor: Cursor): void {
    if (this.#leading && cursor) attempt(() => localStorage.setItem(this.#key, cursor))
  }

  #report(kind: FailureKind, message: string, status?: number, cause?: unknown): void {
    if (this.#stopped.signal.aborted) return
    const error = new FollowError(kind, message, status, cause)
    try {
      if (this.#options.onError) this.#options.onError(error)
      else console.error(error)
    } catch (err) {
      console.error(err)
    }
  }
}
