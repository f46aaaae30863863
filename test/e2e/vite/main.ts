// A page that follows /events and shows the programs in ../node what it got.
import { follow, type AnyEvent, type FollowError, type Options, type Reset } from '@gapless-go/client'

interface Events {
  tick: { n: number }
}

declare global {
  interface Window {
    /** Options that a program sets before the page is loaded. */
    options?: Partial<Options<Events>>
    got: AnyEvent<Events>[]
    resets: Reset[]
    failures: { kind: string; status: number | undefined; message: string; at: number }[]
    lives: number
    connected(): boolean
    onevent(event: AnyEvent<Events>): void
    reload(reset: Reset): Promise<string | void>
    reloaded(cursor?: string): void
    stop(): void
  }
}

// The client ends the signal of a request that is over.
const requests: AbortSignal[] = []
const { fetch } = window
window.fetch = (input, init) => {
  if (init?.signal) requests.push(init.signal)
  return fetch(input, init)
}
window.connected = () => requests.some((signal) => !signal.aborted)
window.got = []
window.resets = []
window.failures = []
window.lives = 0
window.onevent = () => {}
// The first load fails, the others wait.
window.reload = () => (window.resets.length === 1 ? Promise.reject(new Error('no')) : new Promise((resolve) => (window.reloaded = resolve)))
window.stop = follow<Events>({
  url: '/events',
  user: '',
  heartbeat: 400,
  retry: 100,
  onEvent(event) {
    window.got.push(event)
    window.onevent(event)
  },
  onReset(reset) {
    window.resets.push(reset)
    return window.reload(reset)
  },
  onLive() {
    window.lives++
  },
  onError({ kind, status, message }: FollowError) {
    window.failures.push({ kind, status, message, at: performance.now() })
  },
  ...window.options,
})
