package sqllog

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/lib/pq"
)

const (
	pingInterval   = 20 * time.Second // between checks of a silent LISTEN connection
	pingTimeout    = 5 * time.Second  // after which it counts as half-open
	dialTimeout    = 10 * time.Second
	reconnectFirst = 50 * time.Millisecond // until the first try to connect again
	reconnectMax   = 5 * time.Second
)

// listen kicks the feed at every notification until ctx ends. It makes things
// faster only: what it misses, the feed's polling finds.
func listen(ctx context.Context, s settings, f *feed) {
	d := &keptDialer{ctx: ctx}
	l := pq.NewDialListener(d, s.ListenDSN, reconnectFirst, reconnectMax, nil)
	// Close waits for the connection, and on a half-open one without end.
	stop := context.AfterFunc(ctx, func() {
		d.cut()
		_ = l.Close() // errors only if closed already
	})
	defer stop()
	if l.Listen(channel(s)) != nil { // blocks until there is a connection
		return // closed
	}
	f.kick(false) // what was committed before LISTEN took effect
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		select {
		case n, ok := <-l.Notify:
			if !ok {
				return // closed
			}
			// nil: the connection was lost and is back, with a hole between.
			f.kick(n != nil && n.Extra != "" && n.Extra != s.token)
		case <-ping.C:
			d.watch(l.Ping)
		}
	}
}

// keptDialer keeps the connection that it made, to close it from outside.
type keptDialer struct {
	ctx  context.Context
	mu   sync.Mutex
	conn net.Conn
}

// Dial implements pq.Dialer.
func (d *keptDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, dialTimeout)
}

// DialTimeout implements pq.Dialer.
func (d *keptDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = dialTimeout
	}
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.conn = conn
	d.mu.Unlock()
	if d.ctx.Err() != nil { // cut may have come between
		d.cut()
	}
	return conn, nil
}

// cut closes the connection, whoever is using it.
func (d *keptDialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close() // may have been closed already
	}
}

// watch cuts the connection if ping does not return in time; the listener then
// connects again.
func (d *keptDialer) watch(ping func() error) {
	timer := time.AfterFunc(pingTimeout, d.cut)
	defer timer.Stop()
	_ = ping() // a failure is followed by a reconnect
}
