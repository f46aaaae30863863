import { covers } from './cursor.js'
import type { FailureKind } from './errors.js'
import type { Frame } from './stream.js'
import { pause, sleep } from './time.js'
import type { AnyEvent, Cursor, Load, Options, Reset } from './types.js'

/** What the state needs of its tab. */
export interface Host {
  signal: AbortSignal
  /** The first pause in ms before a failed load is tried again. */
  retry(): number
  report(kind: FailureKind, message: string, cause: unknown): void
  /** Everything up to here is done. */
  reached(cursor: Cursor): void
}

/** The state of the application: it takes one frame after the other, and behind a load, events wait. */
export class State<Events> {
  readonly #options: Options<Events>
  readonly #host: Host
  readonly #queue: { frame: Frame; reached: Cursor }[] = []
  #busy = false
  #first = true // no onLive has succeeded
  #loaded: Cursor = '' // a load has everything up to here

  constructor(options: Options<Events>, host: Host) {
    this.#options = options
    this.#host = host
  }

  /** Hands a frame over, and says what is reached when it is done. */
  push(frame: Frame, reached: Cursor): void {
    this.#queue.push({ frame, reached })
    if (!this.#busy) void this.#drain()
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let next; (next = this.#queue.shift()); ) {
      const load = this.#apply(next.frame)
      if (load) await load
      if (this.#host.signal.aborted) return
      this.#host.reached(next.reached)
    }
    this.#busy = false
  }

  #apply({ name, id, data }: Frame): Promise<void> | undefined {
    if (name === 'cdc.reset') return this.#load(() => this.#options.onReset(JSON.parse(data) as Reset))
    if (name === 'cdc.live') return this.#live()
    if (name.startsWith('cdc.') || covers(this.#loaded, id)) return undefined
    const { parse = JSON.parse } = this.#options
    try {
      this.#options.onEvent(parse(data) as AnyEvent<Events>)
    } catch (err) {
      this.#host.report('callback', `the event ${id} was not handled: ${String(err)}`, err)
    }
    return undefined
  }

  async #live(): Promise<void> {
    await this.#load(() => this.#options.onLive?.(this.#first))
    this.#first = false
  }

  /** Tries until the load succeeds. */
  async #load(start: () => Load | void): Promise<void> {
    const { signal, retry, report } = this.#host
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.#loaded = (await start()) || this.#loaded
        return
      } catch (err) {
        report('callback', `a load failed: ${String(err)}`, err)
        await sleep(pause(retry(), failures), signal)
      }
    }
  }
}
