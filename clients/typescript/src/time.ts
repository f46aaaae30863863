const longest = 30_000

/** pause is the time in ms before the next try: it doubles with each failure, and no two clients wait alike. */
export function pause(first: number, failures: number): number {
  return Math.min(first * 2 ** failures, Math.max(first, longest)) * (0.5 + Math.random())
}

/** sleep waits, but not beyond the end of the signal, nor when the browser is online again. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = new AbortController()
    const wake = () => {
      clearTimeout(timer)
      done.abort() // removes the listeners
      resolve()
    }
    const timer = setTimeout(wake, ms)
    signal.addEventListener('abort', wake, { signal: done.signal })
    globalThis.addEventListener?.('online', wake, { signal: done.signal })
    if (signal.aborted) wake()
  })
}
