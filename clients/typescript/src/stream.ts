import { FollowError } from './errors.js'

/** A message as it was sent. */
export interface Frame {
  name: string
  id: string
  data: string
  /** The pause in ms that the server asks for. */
  retry: number
}

/** How to open a stream. */
export interface Request {
  url: URL
  init: RequestInit
  /** Time in ms without a byte after which the connection is dead. */
  silence: number
  signal: AbortSignal
  /** Is called for each sign of life. */
  alive(): void
}

/**
 * open reads a stream to its end. It uses fetch, because an EventSource tells no status, shows no heartbeat, and goes on from an id of
 * its own. Its errors are FollowErrors.
 */
export async function* open({ url, init, silence, signal, alive }: Request): AsyncGenerator<Frame, void, undefined> {
  const own = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const wait = () => {
    clearTimeout(timer)
    timer = setTimeout(() => own.abort(new Error(`no sign of life for ${silence} ms`)), silence)
  }
  signal.addEventListener('abort', () => own.abort(signal.reason), { signal: own.signal })
  try {
    signal.throwIfAborted()
    wait()
    const headers = new Headers(init.headers)
    headers.set('Accept', 'text/event-stream')
    const response = await fetch(url, { cache: 'no-store', ...init, headers, signal: own.signal })
    const body = await accepted(response)
    for await (const text of texts(body)) {
      wait()
      alive()
      yield* text
    }
  } catch (err) {
    throw err instanceof FollowError ? err : new FollowError('network', `the stream broke: ${String(err)}`, undefined, err)
  } finally {
    clearTimeout(timer)
    own.abort()
  }
}

/** accepted returns the body of a stream. Any other answer is an error. */
async function accepted(response: Response): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const type = response.headers.get('Content-Type') ?? 'none'
  if (response.status === 200 && type.startsWith('text/event-stream') && response.body) return response.body
  const problem: unknown = type.startsWith('application/problem+json') ? await response.json().catch(() => null) : null
  const { title, detail } = { title: '', detail: '', ...(problem ?? {}) }
  const why = [title, detail].filter(Boolean).join(': ') || `content type ${type}`
  throw new FollowError('refused', `the endpoint answered ${response.status}, ${why}`, response.status)
}

/** texts yields the frames that each piece of the body completes. A frame that was cut is dropped: its id was not reached. */
async function* texts(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Frame[], void, undefined> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let [rest, frame] = ['', empty()]
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop() ?? ''
    const frames: Frame[] = []
    for (const line of lines) {
      if (line !== '' && line !== '\r') {
        field(frame, line)
        continue
      }
      if (frame.data) frames.push({ ...frame, data: frame.data.slice(1) })
      frame = empty()
    }
    yield frames
  }
}

const empty = (): Frame => ({ name: '', id: '', data: '', retry: 0 })

/** field adds a line to the frame. Each line of data begins with a line feed, so that no data and empty data differ. */
function field(frame: Frame, line: string): void {
  const [, name, value = ''] = /^(\w*)(?:: ?(.*?))?\r?$/s.exec(line) ?? []
  if (name === 'event') frame.name = value
  if (name === 'data') frame.data += '\n' + value
  if (name === 'id') frame.id = value
  if (name === 'retry') frame.retry = Number(value) || 0
}
