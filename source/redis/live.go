package redislog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gapless-go/gapless/cdc"
)

const (
	// blockFor is how long one XREAD waits. After it the bounds are looked at,
	// since a stream that was deleted or rewound never wakes its readers.
	blockFor = 2 * time.Second

	// answerWithin is how long the server may take beyond that before the
	// connection counts as dead.
	answerWithin = 3 * time.Second

	// maxReconnects is how often in a row the reader connects again by itself,
	// after 50 ms doubled each time. Then its subscriptions end with the error,
	// and whoever follows subscribes again.
	maxReconnects = 6
)

// live is the live side: one reader for all subscriptions of a handle, which
// runs while there is one.
type live struct {
	handle *handle
	look   func(context.Context, *redis.Client) (last string, err error)

	mu     sync.Mutex
	reader *reader // nil if there is none
}

// reader waits on a connection of its own for the stream to grow.
type reader struct {
	handle *handle
	ctx    context.Context
	cancel context.CancelFunc
	ready  chan struct{} // closed when it watches for the first time, or has failed
	failed chan struct{} // closed when err is set
	err    error

	subs int // guarded by live.mu

	mu    sync.Mutex
	conn  *redis.Client // nil while there is none
	ended bool
}

// Subscribe implements [cdc.Subscriber]. Its subscriptions carry no events: they
// say that there are some. All of one Log share one connection, which is not of
// the client's pool.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return l.subscribe(ctx, l.current)
}

func (h *handle) subscribe(ctx context.Context, current func(context.Context) (cdc.Bounds, error)) (cdc.Subscription, error) {
	if _, err := call(ctx, h, "subscribe", current); err != nil {
		return nil, err
	}
	r := h.live.join()
	if r == nil {
		return nil, fmt.Errorf("redis: subscribe: %w", cdc.ErrClosed)
	}
	err := error(nil)
	select {
	case <-r.ready:
		select {
		case <-r.failed:
			err = r.err
		default:
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-h.ctx.Done():
		err = cdc.ErrClosed
	}
	if err != nil {
		h.live.leave(r)
		return nil, fmt.Errorf("redis: subscribe: %w", explain(err))
	}
	return &subscription{handle: h, reader: r, seen: h.track.ask().bounds, closed: make(chan struct{})}, nil
}

// join counts one more subscription of the reader, which is started if there is
// none. It returns nil if the log is closed.
func (v *live) join() *reader {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.reader; r != nil {
		select {
		case <-r.failed:
		default:
			r.subs++
			return r
		}
	}
	r := &reader{handle: v.handle, ready: make(chan struct{}), failed: make(chan struct{}), subs: 1}
	r.ctx, r.cancel = context.WithCancel(v.handle.ctx)
	if !v.handle.spawn(r.run) {
		r.cancel()
		return nil
	}
	v.reader = r
	return r
}

// leave counts one less, and ends the reader with the last.
func (v *live) leave(r *reader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.subs--; r.subs == 0 {
		r.end()
		if v.reader == r {
			v.reader = nil
		}
	}
}

// interrupt ends the reader at once.
func (v *live) interrupt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reader != nil {
		v.reader.end()
	}
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

func (r *reader) run() {
	defer r.cancel()
	var ready sync.Once
	for reconnects := 0; ; reconnects++ {
		err := r.session(func() {
			reconnects = 0
			ready.Do(func() { close(r.ready) })
		})
		if r.ctx.Err() != nil {
			err = cdc.ErrClosed
		}
		if !transient(err) || reconnects >= maxReconnects {
			r.err = explain(err)
			close(r.failed)
			ready.Do(func() { close(r.ready) })
			return
		}
		r.pause(reconnects)
	}
}

// pause ends early with the reader.
func (r *reader) pause(failures int) {
	full := 50 * time.Millisecond << failures
	timer := time.NewTimer(full/2 + rand.N(full/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// session watches on one connection until it breaks. It does not return nil.
func (r *reader) session(watching func()) error {
	conn, err := r.connect()
	if err != nil {
		return err
	}
	defer r.disconnect(conn)
	last, err := r.look(conn)
	if err != nil {
		return err
	}
	if _, err := r.await(conn, last, -1); err != nil { // finds out about missing rights
		return err
	}
	watching()
	for {
		grown, err := r.await(conn, last, blockFor)
		if err != nil {
			return err
		}
		before := last
		if last, err = r.look(conn); err != nil {
			return err
		}
		if grown && last == before { // an entry that is none of ours would wake us for ever
			r.pause(2)
		}
		watching()
	}
}

// look tells the tracker what the server has.
func (r *reader) look(conn *redis.Client) (string, error) {
	ctx, cancel := context.WithTimeout(r.ctx, answerWithin)
	defer cancel()
	return r.handle.live.look(ctx, conn)
}

// await returns true when the stream has an entry above last, false after block.
func (r *reader) await(conn *redis.Client, last string, block time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(r.ctx, blockFor+answerWithin)
	defer cancel()
	err := conn.XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.handle.stream, last}, Count: 1, Block: block,
	}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

// connect makes a client with one connection, with the options of the caller's.
func (r *reader) connect() (*redis.Client, error) {
	ctx, cancel := context.WithTimeout(r.ctx, answerWithin)
	defer cancel()
	node, err := r.handle.node(ctx)
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

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, cdc.ErrClosed
	}
	r.conn = redis.NewClient(&o)
	return r.conn, nil
}

func (r *reader) disconnect(conn *redis.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = conn.Close() // it may be closed already
	r.conn = nil
}

// subscription waits for the tracker.
type subscription struct {
	handle *handle
	reader *reader
	seen   cdc.Bounds // at the last return of Next
	err    error      // final

	once   sync.Once
	closed chan struct{}
}

// Next implements [cdc.Subscription].
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	for {
		select { // what has ended wins over what is new
		case <-s.closed:
			return nil, cdc.ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		default:
		}
		if s.err != nil {
			return nil, s.err
		}
		now, closed, changed := s.handle.track.wait(s.seen)
		switch {
		case closed:
			s.err = cdc.ErrClosed
			continue
		case changed == nil && now.Epoch != s.seen.Epoch:
			s.err = fmt.Errorf("redis: next: %w", epochChanged(s.seen, now))
			continue
		case changed == nil:
			s.seen = now
			return nil, nil
		}
		select {
		case <-s.closed:
		case <-ctx.Done():
		case <-changed:
		case <-s.reader.failed:
			s.err = fmt.Errorf("redis: next: %w", s.reader.err)
		}
	}
}

func epochChanged(before, now cdc.Bounds) error {
	// A Stream's tracker has epochs with a count behind them.
	before.Epoch, _, _ = strings.Cut(before.Epoch, "~")
	now.Epoch, _, _ = strings.Cut(now.Epoch, "~")
	return &cdc.ResetError{
		Reason:    cdc.ReasonEpochChanged,
		Requested: cdc.Cursor{Epoch: before.Epoch, Seq: before.Last}.String(),
		Floor:     now.Floor, Head: now.Head,
		Resume: cdc.Cursor{Epoch: now.Epoch, Seq: now.Head},
	}
}

// Close implements [cdc.Subscription]. The last one closes the connection.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.handle.live.leave(s.reader)
	})
	return nil
}
