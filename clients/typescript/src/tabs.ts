/** What tabs tell each other: the leader its term and what came; term 0 asks who leads. */
interface Note<T> {
  term: number
  body: T | undefined
}

/** A tab, as the other tabs need it. */
export interface Tab<T> {
  /** This tab leads until the signal ends. */
  lead(signal: AbortSignal): void
  /** The leader passed something on. */
  take(body: T): void
  /** What a leader says to a tab that asks. */
  greet(): T | undefined
}

/** The other tabs. */
export interface Tabs<T> {
  /** Passes something on, or shows that this leader is alive. */
  post(body?: T): void
  leave(): void
}

/**
 * join makes one of the tabs with the key the leader: the one that holds a lock. One that hangs keeps its lock, so a tab that hears
 * nothing for three heartbeats takes it. Where the browser refuses locks, as it does without storage, each tab leads itself.
 */
export function join<T>(key: string, heartbeat: number, tab: Tab<T>): Tabs<T> {
  const channel = new BroadcastChannel(key)
  let term = 0 // of the newest leader that was heard of
  let [leading, alone] = [false, false]
  let turn = new AbortController() // of the request for the lock, and of the lead
  let patience: ReturnType<typeof setTimeout> | undefined
  let beat: ReturnType<typeof setInterval> | undefined

  const post = (body?: T) => {
    if (!alone) channel.postMessage({ term, body } satisfies Note<T>)
  }
  const wait = () => {
    clearTimeout(patience)
    patience = setTimeout(() => claim(true), heartbeat * (3 + Math.random()))
  }
  const rest = () => {
    leading = false
    clearTimeout(patience)
    clearInterval(beat)
    turn.abort()
  }
  const lead = (signal: AbortSignal) => {
    if (signal.aborted) return undefined
    clearTimeout(patience)
    leading = true
    term = Math.max(Date.now(), term + 1) + Math.random() // no two are the same
    post()
    beat = setInterval(post, heartbeat) // also while the server is away
    const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    tab.lead(signal)
    return over
  }
  const lock = async (steal: boolean, { signal }: AbortController) =>
    navigator.locks.request(key, steal ? { steal } : { signal }, () => lead(signal))
  const claim = (steal = false) => {
    rest()
    wait()
    const mine = (turn = new AbortController())
    lock(steal, mine).catch((err: unknown) => {
      if (mine.signal.aborted) return
      if (err instanceof DOMException && err.name === 'AbortError') return claim() // another tab took the lock
      alone = true
      channel.close()
      void lead(mine.signal)
    })
  }
  channel.onmessage = ({ data }: MessageEvent<Note<T>>) => {
    if (data.term === 0 && leading) post(tab.greet())
    if (data.term === 0 || data.term < term) return // a leader that hung and does not know that it was replaced
    if (leading) claim() // this tab is the one that hung: it has what came before, the rest is passed on
    term = data.term
    wait()
    if (data.body !== undefined) tab.take(data.body)
  }
  post()
  claim()
  return {
    post,
    leave() {
      rest()
      alone = true
      channel.close()
    },
  }
}
