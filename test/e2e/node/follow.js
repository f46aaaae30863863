// What the programs that run a client share, in Node.js and in pages: they do
// what docs/clients.md advises.

/** The names that Gapless gives to its control frames: a native EventSource must name them. */
export const controls = ['cdc.hello', 'cdc.live', 'cdc.checkpoint', 'cdc.reset', 'cdc.reconnect']

/** resuming is the URL from which a client without a Last-Event-ID of its own goes on. */
export function resuming(url, last) {
  const u = new URL(url)
  if (last) u.searchParams.set('after', last)
  return u.href
}

/** listen connects with a class that has the interface of the browser's EventSource. */
export function listen(EventSource, options) {
  return (url, last, message, closed) => {
    const source = new EventSource(resuming(url, last), options)
    for (const name of ['message', ...controls]) {
      source.addEventListener(name, (e) => message(name, e.lastEventId, e.data))
    }
    source.onerror = () => {
      if (source.readyState === 2) closed()
    }
    return () => source.close()
  }
}

/**
 * follow runs a client, and makes it anew from where it was when it has closed, when it was silent for that many ms (0 is for ever), and
 * when the stream began elsewhere than after the last message. connect returns a function that ends the client.
 */
export function follow(connect, url, { plain, silence }, print) {
  let last = ''
  let current // the client whose messages count
  const start = () => {
    const mine = (current = {})
    let timer
    const again = (why) => {
      if (current !== mine) return
      current = undefined
      clearTimeout(timer)
      end?.()
      print(why)
      if (plain) return
      setTimeout(() => {
        print('#recreate')
        start()
      }, 200 + Math.random() * 300)
    }
    const wait = () => {
      clearTimeout(timer)
      if (silence) timer = setTimeout(() => again('#silent'), silence)
    }
    const message = (event, id, data) => {
      if (current !== mine) return
      wait()
      if (!plain && event === 'cdc.hello' && last && JSON.parse(data).from !== last) return again('#position')
      if (id) last = id
      print(event === 'message' ? '' : event ?? '', id ?? '', data ?? '')
    }
    let end
    wait()
    end = connect(url, last, message, () => again('#closed'))
  }
  start()
}
