// eventsource-client@1: callbacks, one for all messages.
import { resuming } from './follow.js'
import { run } from './report.js'
import { createEventSource } from 'eventsource-client'

run((url, last, message, closed) => {
  const source = createEventSource({
    url: resuming(url, last),
    fetch: globalThis.fetch,
    initialLastEventId: last || undefined,
    onMessage: (m) => message(m.event, m.id, m.data),
    onDisconnect: () => {
      if (source.readyState === 'closed') closed()
    },
  })
  return () => source.close()
})
