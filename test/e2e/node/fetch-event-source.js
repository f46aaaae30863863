// @microsoft/fetch-event-source@2 is made for pages: it needs a window and a
// document. openWhenHidden keeps it from closing with the page's visibility.
//
// It resumes from an id as soon as it has read that line, though the rest of
// the block may be cut off and is then lost. So the fetch that it is given
// names the last message that arrived instead.
import { resuming } from './follow.js'
import { run, settings } from './report.js'

globalThis.window = globalThis
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
const { plain } = settings
const { fetchEventSource } = await import('@microsoft/fetch-event-source')

run((url, last, message, closed) => {
  const resume = (input, init) => {
    const { 'last-event-id': _, ...headers } = init.headers
    if (last) headers['last-event-id'] = last
    return fetch(input, { ...init, headers })
  }
  const own = new AbortController()
  fetchEventSource(resuming(url, last), {
    signal: own.signal,
    openWhenHidden: true,
    fetch: plain ? globalThis.fetch : resume,
    onmessage: (m) => {
      if (m.id) last = m.id
      message(m.event, m.id, m.data)
    },
    // A body that ends is taken for the end of the stream, unless this throws.
    onclose: () => {
      if (!plain) throw new Error('the stream has ended')
    },
  }).then(closed, closed)
  return () => own.abort()
})
