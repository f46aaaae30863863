// reconnecting-eventsource@1: makes the browser's EventSource anew, with the
// position as ?lastEventId=.
import ReconnectingEventSource from 'reconnecting-eventsource'
import { listen } from '../follow.js'

export default listen(ReconnectingEventSource)
