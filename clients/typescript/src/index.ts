export { follow } from './follow.js'
export { FollowError, type FailureKind } from './errors.js'
export type { AnyEvent, Cursor, EventOf, Message, Options, Reset, ServerReset } from './types.js'
