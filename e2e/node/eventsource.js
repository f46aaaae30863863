// eventsource@4: the interface of the browser, under Node.
import { controls, resuming, run } from './report.js'
import { EventSource } from 'eventsource'

run((url, last, message, closed) => {
  const source = new EventSource(resuming(url, last), { fetch: globalThis.fetch })
  for (const name of ['message', ...controls]) {
    source.addEventListener(name, (e) => message(name, e.lastEventId, e.data))
  }
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) closed()
  }
})
