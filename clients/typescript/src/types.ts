import type { FollowError } from './errors.js'

/** A position in the log. Opaque: keep it and send it back. */
export type Cursor = string

/** An event of a type; Events maps each type to its payload. */
export interface EventOf<Type, Data> {
  cursor: Cursor
  topic: string
  type: Type
  key: string
  /** When the log accepted it, in RFC 3339. */
  time: string
  /** The name that the application gave it. */
  id?: string
  data: Data
  /** The payload instead of data, if it is no JSON. */
  dataBase64?: string
}

/** The union of the events; `type` narrows it. */
export type AnyEvent<Events> = { [Type in keyof Events]: EventOf<Type, Events[Type]> }[keyof Events]

/** The server could not go on from the position, or what it has is another log. */
export interface ServerReset {
  reason: 'truncated' | 'future' | 'foreign' | 'diverged' | 'malformed' | 'too-far' | 'epoch-changed'
  /** The cursor that was asked for. */
  requested: string
  /** Everything up to here was removed by retention. */
  floor: number
  /** The last event there is. */
  head: number
}

/**
 * Why events may have been skipped; `reason` narrows it. Two are the client's own: `unreadable`, what the browser had stored is
 * no position; `skipped`, the stream began later than asked, because something on the way dropped the position.
 */
export type Reset = ServerReset | { reason: 'unreadable'; requested: string } | { reason: 'skipped'; requested: string }

/**
 * A message of the stream, for programs that read it by themselves; `event` narrows it. It is the type of the browser's MessageEvent:
 * `message` where there is no event: line.
 */
export type Message<Events = Record<string, unknown>> =
  | { event: 'message'; id: Cursor; retry?: number; data: AnyEvent<Events> }
  | { event: 'cdc.hello'; id: Cursor; retry?: number; data: { log: string; from: Cursor } }
  | { event: 'cdc.reset'; id: Cursor; retry?: number; data: ServerReset }
  | { event: 'cdc.live' | 'cdc.checkpoint'; id: Cursor; retry?: number; data: Record<string, never> }
  | { event: 'cdc.reconnect'; id?: Cursor; retry?: number; data: { pages?: { size: number; to: number }; events?: number } }

/** A load of the application's state. It may resolve with the cursor up to which the state holds all events: those are not handed over. */
export type Load = Promise<Cursor | void>

export interface Options<Events> {
  /** Of the endpoint, with filters. */
  url: string
  /**
   * Who asks: an identifier of the user or the session, or '' where all see the same. Tabs of the same URL and user share a connection and
   * a cursor. The server gets it as `?user=` and must refuse where it differs from who is logged in.
   */
  user: string
  /** Is called in every tab, in order, but not while a load of onLive or onReset runs: events wait for it. */
  onEvent(event: AnyEvent<Events>): void
  /** Events may have been skipped: load your state. Until that has succeeded, it is tried again and the old cursor stays stored. */
  onReset(reset: Reset): Load
  /** The history of this tab is over: at first, and after each new connection. `first` until a call has succeeded: load what you show. */
  onLive?(first: boolean): Load | void
  /** Something failed; without it, errors go to the console. */
  onError?(error: FollowError): void
  /** Headers, credentials and so on of each request. A tab that has them is not stopped when another follows for another user. */
  request?(): RequestInit | Promise<RequestInit>
  /** Makes an event of its text. JSON.parse unless told otherwise, which rounds numbers of more than 15 digits. */
  parse?(text: string): unknown
  /** Longest silence of the server in ms (its Options.Heartbeat): 15,000 unless told otherwise. Three of them end a connection. */
  heartbeat?: number
  /**
   * From how many whole pages before it on the client takes them, where a cache can have them, and then goes on with the stream. A page that is
   * wrong is told as `network` or `refused`, and its events come from the stream. None unless told otherwise. `user` is a part of their addresses.
   */
  pages?: number
  /** Mean of the first pause in ms before a new connection; they double up to 30 s. What the server sends wins. 3,000 unless told otherwise. */
  retry?: number
}
