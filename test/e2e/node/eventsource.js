// eventsource@4: the interface of the browser, under Node.
import { listen } from './follow.js'
import { run } from './report.js'
import { EventSource } from 'eventsource'

run(listen(EventSource, { fetch: globalThis.fetch }))
