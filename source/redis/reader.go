package redislog

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/backoff"
)

const (
	// blockFor is how long one XREAD waits, and how often all logs are looked
	// at: a stream that was deleted or rewound never wakes its readers.
	blockFor = 2 * time.Second

	// answerWithin is how long the server may take beyond that before the
	// connection counts as dead.
	answerWithin = 3 * time.Second

	// maxReconnects is how often in a row the reader connects again by itself,
	// after 50 ms doubled each time. Then its subscriptions end with the error,
	// and whoever follows subscribes again.
	maxReconnects = 6
)

// reader waits on a connection of its own for streams to grow.
type reader struct {
	live   *live
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	conn  *redis.Client // nil while there is none
	id    int64         // the server's, of the connection; 0 while it is not known
	ended bool
}

func newReader(v *live) *reader {
	r := &reader{live: v}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// end interrupts a blocked read: only closing its client does.
func (r *reader) end() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.conn != nil {
		_ = r.conn.Close() // nothing is lost: it only reads
	}
}

// interrupt makes a blocked read return, so that the reader sees what else is to
// be watched. Where the server does not allow it, the read ends after blockFor.
func (r *reader) interrupt(ctx context.Context) {
	r.mu.Lock()
	id := r.id
	r.mu.Unlock()
	if id == 0 {
		return
	}
	_, _ = await(ctx, func(ctx context.Context) (int64, error) {
		node, err := r.live.node(ctx)
		if err != nil {
			return 0, err
		}
		return node.ClientUnblock(ctx, id).Result()
	})
}

func (r *reader) run() {
	defer r.cancel()
	retry := backoff.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for reconnects := 0; ; reconnects++ {
		err := r.session(func() {
			reconnects = 0
			retry.Reset()
		})
		if r.ctx.Err() != nil {
			err = cdc.ErrClosed
		}
		if !transient(err) || reconnects >= maxReconnects {
			r.live.ended(r, err)
			return
		}
		_ = retry.Wait(r.ctx)
	}
}

// session watches on one connection until it breaks. It does not return nil.
func (r *reader) session(watching func()) error {
	conn, err := r.connect()
	if err != nil {
		return err
	}
	defer r.disconnect(conn)
	for _, w := range r.live.watched(r) { // of another connection
		w.last = ""
	}
	lookedAtAll := time.Now()
	for failures := 0; ; {
		all := r.live.watched(r)
		if err := r.lookAtNew(conn, all); err != nil {
			return err
		}
		if time.Since(lookedAtAll) >= blockFor {
			lookedAtAll = time.Now()
			if err := r.look(conn, all, false); err != nil {
				return err
			}
		}
		watching()
		grown, err := r.await(conn, all, blockFor-time.Since(lookedAtAll))
		if err == nil {
			failures = 0
			err = r.look(conn, grown, true)
		} else if failures++; failures == 1 && !transient(err) {
			for _, w := range all { // to find out which of them it concerns
				w.last = ""
			}
			continue
		}
		if err != nil {
			return err
		}
	}
}

// lookAtNew looks at the logs that were not watched on this connection, and reads
// each alone, which finds out about missing rights.
func (r *reader) lookAtNew(conn *redis.Client, all []*watch) error {
	for _, w := range all {
		if w.last != "" {
			continue
		}
		if err := r.look(conn, []*watch{w}, false); err != nil {
			return err
		}
		if w.last == "" { // it has failed
			continue
		}
		if _, err := r.read(conn, []*watch{w}, -1); err != nil {
			if transient(err) {
				return err
			}
			r.live.failed(w, err)
			continue
		}
		w.begun()
	}
	return nil
}

// look asks the server what it has of each log, of which XREAD may have said
// that it has grown. An error that concerns one log alone ends the subscriptions
// of that.
func (r *reader) look(conn *redis.Client, watches []*watch, grown bool) error {
	for _, w := range watches {
		last, err := r.lookAt(conn, w)
		switch {
		case err == nil:
			w.strange = grown && last == w.last
			w.last = last
		case w.handle.ctx.Err() != nil: // the log was closed meanwhile
		case transient(err):
			return err
		default:
			r.live.failed(w, err)
		}
	}
	return r.ctx.Err()
}

func (r *reader) lookAt(conn *redis.Client, w *watch) (string, error) {
	ctx, cancel := context.WithTimeout(r.ctx, answerWithin)
	defer cancel()
	stop := context.AfterFunc(w.handle.ctx, cancel)
	defer stop()
	return w.handle.look(ctx, conn)
}

// await returns the logs that have grown, or none when the time is over or the
// read was interrupted.
func (r *reader) await(conn *redis.Client, all []*watch, longest time.Duration) ([]*watch, error) {
	waiting := make([]*watch, 0, len(all))
	for _, w := range all {
		if w.last != "" && !w.strange {
			waiting = append(waiting, w)
		}
	}
	if len(waiting) == 0 {
		_ = backoff.Sleep(r.ctx, backoff.Jitter(200*time.Millisecond))
		return nil, nil
	}
	return r.read(conn, waiting, max(longest, time.Millisecond))
}

// read is one XREAD of all streams; less than 0 does not block.
func (r *reader) read(conn *redis.Client, watches []*watch, block time.Duration) (grown []*watch, err error) {
	oldest := map[string]string{} // two logs may have one stream
	for _, w := range watches {
		last, shared := oldest[w.handle.stream]
		if !shared || compareIDs(w.last, last) < 0 {
			oldest[w.handle.stream] = w.last
		}
	}
	streams, ids := make([]string, 0, 2*len(oldest)), make([]string, 0, len(oldest))
	for stream, id := range oldest {
		streams, ids = append(streams, stream), append(ids, id)
	}
	ctx, cancel := context.WithTimeout(r.ctx, blockFor+answerWithin)
	defer cancel()
	reply, err := conn.XRead(ctx, &redis.XReadArgs{Streams: append(streams, ids...), Count: 1, Block: block}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	in := make(map[string]bool, len(reply))
	for _, stream := range reply {
		in[stream.Stream] = true
	}
	for _, w := range watches {
		if in[w.handle.stream] {
			grown = append(grown, w)
		}
	}
	return grown, err
}

// compareIDs orders ids of entries, <n>-<n>.
func compareIDs(a, b string) int {
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64) // we made it, or the server
		return n
	}
	a1, a2, _ := strings.Cut(a, "-")
	b1, b2, _ := strings.Cut(b, "-")
	return cmp.Or(cmp.Compare(number(a1), number(b1)), cmp.Compare(number(a2), number(b2)))
}

// connect makes a client with one connection, with the options of the caller's.
func (r *reader) connect() (*redis.Client, error) {
	ctx, cancel := context.WithTimeout(r.ctx, answerWithin)
	defer cancel()
	node, err := r.live.node(ctx)
	if err != nil {
		return nil, err
	}
	o := *node.Options()
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.PipelinePoolSize = 1, 0, 1, 0, -1
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	o.ClientSideCacheConfig, o.ClientSideCache = nil, nil
	o.PushNotificationProcessor = nil // belongs to the caller's client
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	conn := redis.NewClient(&o)
	if !r.setConn(conn) {
		return nil, errors.Join(cdc.ErrClosed, conn.Close())
	}
	id, err := conn.ClientID(ctx).Result()
	if err != nil && transient(err) {
		r.disconnect(conn)
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id = id
	return conn, nil
}

// setConn is false if the reader has ended.
func (r *reader) setConn(conn *redis.Client) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.conn = conn
	}
	return !r.ended
}

func (r *reader) disconnect(conn *redis.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = conn.Close() // it may be closed already
	r.conn, r.id = nil, 0
}
