// event-source-polyfill@1: sends the position as ?lastEventId=, and ends a
// connection on which nothing came for heartbeatTimeout.
import { EventSourcePolyfill } from 'event-source-polyfill'
import { listen } from '../follow.js'

export const watches = true

export default listen(EventSourcePolyfill, { heartbeatTimeout: 3000 })
