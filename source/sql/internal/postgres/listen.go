package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

const (
	pingInterval   = 20 * time.Second // between checks of a silent LISTEN connection
	pingTimeout    = 5 * time.Second  // after which it counts as half-open
	dialTimeout    = 10 * time.Second
	reconnectFirst = 50 * time.Millisecond // until the first try to connect again
	reconnectMax   = 5 * time.Second
)

// checkListenDSN refuses what lib/pq cannot read.
func checkListenDSN(dsn string) error {
	if dsn == "" {
		return nil
	}
	if _, err := pq.NewConfig(dsn); err != nil {
		return fmt.Errorf("Options.ListenDSN: %w", err)
	}
	return nil
}

// listen kicks the feed at every notification until ctx ends. It makes things
// faster only: what it misses, the feed's polling finds.
func listen(ctx context.Context, db engine.DB, s engine.Settings, f *engine.Feed) {
	if s.ListenDSN == "" {
		return
	}
	d := &keptDialer{ctx: ctx}
	state := &listenState{ctx: ctx, onError: s.OnError}
	l := pq.NewDialListener(d, s.ListenDSN, reconnectFirst, reconnectMax, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			state.failed(err)
		}
	})
	// Close waits for the connection, and on a half-open one without end.
	stop := context.AfterFunc(ctx, func() {
		d.closeConn()
		_ = l.Close() // errors only if closed already
	})
	defer stop()
	if err := l.Listen(channel(s)); err != nil { // blocks until there is a connection
		state.failed(err)
		return
	}
	f.Kick(false) // what was committed before LISTEN took effect
	silence := time.AfterFunc(hearTimeout, func() { state.failed(errHearsNothing) })
	defer silence.Stop()
	tryNotify(ctx, db, s)
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		select {
		case n, ok := <-l.Notify:
			if !ok {
				return // closed
			}
			if n == nil { // the connection was lost and is back, with a hole between
				silence.Reset(hearTimeout)
				tryNotify(ctx, db, s)
			} else {
				silence.Stop()
				state.works()
			}
			f.Kick(n != nil && n.Extra != "" && n.Extra != s.Token)
		case <-ping.C:
			d.watch(l.Ping)
		}
	}
}

// tryNotify sends a notification for this log to hear. A failure is that of the
// database, which the feed's polls meet, too.
func tryNotify(ctx context.Context, db engine.DB, s engine.Settings) {
	_, _ = db.ExecContext(ctx, "SELECT pg_notify("+literal(channel(s))+", '')")
}

// hearTimeout is how long the notification may take that tries the connection.
const hearTimeout = 5 * time.Second

var errHearsNothing = errors.New("a notification of the log's database does not arrive: name the same database, and no pooler that shares connections between transactions")

// listenState calls the user once when LISTEN ceases to work, and again only when
// it has worked in between.
type listenState struct {
	ctx     context.Context //nolint:containedctx // of the feed: what comes of its end is no failure
	onError func(error)

	mu     sync.Mutex
	broken bool
}

func (l *listenState) failed(err error) {
	l.mu.Lock()
	first := !l.broken
	l.broken = true
	l.mu.Unlock()
	if first && l.onError != nil && l.ctx.Err() == nil {
		l.onError(fmt.Errorf("sql: Options.ListenDSN: LISTEN does not work, readers are woken by polling alone: %w", err))
	}
}

func (l *listenState) works() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
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
	if d.ctx.Err() != nil { // closeConn may have come between
		d.closeConn()
	}
	return conn, nil
}

// closeConn closes the connection, whoever is using it.
func (d *keptDialer) closeConn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close() // may have been closed already
	}
}

// watch closes the connection if ping does not return in time; the listener then
// connects again.
func (d *keptDialer) watch(ping func() error) {
	timer := time.AfterFunc(pingTimeout, d.closeConn)
	defer timer.Stop()
	_ = ping() // a failure is followed by a reconnect
}
