/**
 * What failed.
 *
 * - `refused`: the answer was no stream; its status is in `status`. Tried again.
 * - `network`: no answer, a connection that broke, or three heartbeats that did not come. Tried again.
 * - `position`: the stream began after the position that was asked for, or what the browser had stored is no position. onReset is called.
 * - `callback`: one of your functions failed. onLive and onReset are tried again, onEvent goes on with the next event.
 * - `user`: another tab follows for another user. This client has stopped.
 */
export type FailureKind = 'refused' | 'network' | 'position' | 'callback' | 'user'

/** What onError is told, in every tab. The client goes on by itself after all kinds but `user`. */
export class FollowError extends Error {
  override readonly name = 'FollowError'
  readonly kind: FailureKind
  /** Of the answer, where kind is `refused`. */
  readonly status: number | undefined

  constructor(kind: FailureKind, message: string, status?: number, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
    this.status = status
  }
}
