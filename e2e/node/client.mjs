// Follows a stream with one of the clients until the event with the last seq
// has come. Prints what arrives, one line each: "event <seq>", "<name> <id>".
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'

const [kind, url, last] = process.argv.slice(2)

function arrived(name, id, data) {
  if (name && name !== 'message') {
    console.log(`${name} ${id}`)
    return
  }
  const seq = JSON.parse(data).cursor.split('.')[1]
  console.log(`event ${seq}`)
  if (seq === last) process.exit(0)
}

const control = ['cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']

switch (kind) {
  case 'eventsource': {
    const source = new EventSource(url)
    for (const name of ['message', ...control]) {
      source.addEventListener(name, (e) => arrived(e.type, e.lastEventId, e.data))
    }
    source.addEventListener('error', (e) => console.error(e.code, e.message))
    break
  }
  case 'eventsource-client':
    createEventSource({ url, onMessage: (e) => arrived(e.event, e.id, e.data) })
    break
  case 'fetch-event-source': {
    // It is made for browsers.
    globalThis.window = globalThis
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
    const { fetchEventSource } = await import('@microsoft/fetch-event-source/lib/cjs/index.js').then((m) => m.default ?? m)
    let retry = 100
    await fetchEventSource(url, {
      onmessage(e) {
        if (e.retry) retry = e.retry
        arrived(e.event, e.id, e.data)
      },
      onclose() {
        throw new Error('it never reconnects after a clean end unless told so')
      },
      onerror: () => retry,
    })
    break
  }
  default:
    throw new Error(`no client ${kind}`)
}
