package redislog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// live is the live side of one log, or of all logs of a [Store]: one reader for
// all their subscriptions, which runs while there is one.
type live struct {
	node    func(context.Context) (*redis.Client, error) // that has the streams
	running sync.WaitGroup

	mu      sync.Mutex
	reader  *reader // nil if there is none
	watches map[*handle]*watch
	closed  bool
}

// watch is one log's part of the reader's work, as long as it has subscriptions.
type watch struct {
	handle *handle
	subs   int // guarded by live.mu

	last    string        // id of the newest entry that was looked at; empty before the first look; the reader's
	strange bool          // another program wrote the entry above last: not waited for until the next look; the reader's
	ready   chan struct{} // closed when the reader watches it for the first time, or has failed
	failed  chan struct{} // closed when err is set
	err     error
}

// Subscribe implements [cdc.Subscriber]. Its subscriptions carry no events: they
// say that there are some. All of one Log share one connection, which is not of
// the client's pool, and so do all Logs of a [Store] that is not in a cluster.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return l.subscribe(ctx, l.current)
}

func (h *handle) subscribe(ctx context.Context, current func(context.Context) (cdc.Bounds, error)) (cdc.Subscription, error) {
	if _, err := call(ctx, h, "subscribe", current); err != nil {
		return nil, err
	}
	w, running := h.live.join(h)
	if w == nil {
		return nil, fmt.Errorf("redis: subscribe: %w", cdc.ErrClosed)
	}
	if err := w.wait(ctx, running); err != nil {
		h.live.leave(w)
		return nil, fmt.Errorf("redis: subscribe: %w", explain(err))
	}
	return &subscription{handle: h, watch: w, seen: h.track.ask().bounds, closed: make(chan struct{})}, nil
}

// join counts one more subscription of the log, and starts the reader if there
// is none. Otherwise it returns the running one, which may have to be
// interrupted. It returns nil if the log is closed.
func (v *live) join(h *handle) (*watch, *reader) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || h.isClosed() {
		return nil, nil
	}
	if w := v.watches[h]; w != nil {
		w.subs++
		return w, v.reader
	}
	w := &watch{handle: h, ready: make(chan struct{}), failed: make(chan struct{}), subs: 1}
	if v.watches == nil {
		v.watches = map[*handle]*watch{}
	}
	v.watches[h] = w
	if v.reader != nil {
		return w, v.reader
	}
	v.reader = newReader(v)
	v.running.Go(v.reader.run)
	return w, nil
}

// wait returns when the reader watches the log. A running one is interrupted: it
// may be waiting for other logs to grow.
func (w *watch) wait(ctx context.Context, running *reader) error {
	const first, most = 2 * time.Millisecond, 100 * time.Millisecond
	for pause := first; ; pause = min(2*pause, most) {
		select {
		case <-w.ready:
			select {
			case <-w.failed:
				return w.err
			default:
				return nil
			}
		default:
		}
		var again <-chan time.Time
		if running != nil { // once is not enough: it may have been about to wait
			running.interrupt(ctx)
			again = time.After(pause)
		}
		select {
		case <-w.ready:
		case <-again:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.handle.ctx.Done():
			return cdc.ErrClosed
		}
	}
}

// leave counts one less, and ends the reader with the last.
func (v *live) leave(w *watch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.subs--; w.subs == 0 && v.watches[w.handle] == w {
		v.dropLocked(w.handle)
	}
}

// drop forgets a log that is closed.
func (v *live) drop(h *handle) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropLocked(h)
}

func (v *live) dropLocked(h *handle) {
	delete(v.watches, h)
	if len(v.watches) == 0 && v.reader != nil {
		v.reader.end()
		v.reader = nil
	}
}

// failed ends the subscriptions of one log with the error.
func (v *live) failed(w *watch, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watches[w.handle] == w {
		delete(v.watches, w.handle)
		w.fail(err)
	}
}

// ended ends the subscriptions of all logs with the error of the reader.
func (v *live) ended(r *reader, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reader != r {
		return // it was ended, and there may be another one
	}
	v.reader = nil
	for h, w := range v.watches {
		delete(v.watches, h)
		w.fail(err)
	}
}

// fail is called once, by the reader.
func (w *watch) fail(err error) {
	w.err = explain(err)
	close(w.failed)
	w.begun()
}

// begun is called by the reader alone.
func (w *watch) begun() {
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

// watched returns the logs that have subscriptions now: none for a reader that has
// been ended, after which they are its successor's.
func (v *live) watched(r *reader) []*watch {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reader != r {
		return nil
	}
	all := make([]*watch, 0, len(v.watches))
	for _, w := range v.watches {
		all = append(all, w)
	}
	return all
}

// close ends the reader and returns when it has ended.
func (v *live) close() {
	v.mu.Lock()
	v.closed = true
	if v.reader != nil {
		v.reader.end()
	}
	v.mu.Unlock()
	v.running.Wait()
}

// subscription waits for the tracker.
type subscription struct {
	handle *handle
	watch  *watch
	seen   cdc.Bounds // at the last return of Next
	err    error      // final

	once   sync.Once
	closed chan struct{}
}

// Next implements [cdc.Subscription].
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	for s.err == nil {
		select { // what has ended wins over what is new
		case <-s.closed:
			return nil, cdc.ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		default:
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
		case <-s.watch.failed:
			s.err = fmt.Errorf("redis: next: %w", s.watch.err)
		}
	}
	return nil, s.err
}

func epochChanged(before, now cdc.Bounds) error {
	// A Stream's tracker has epochs with a count behind them.
	before.Epoch, _, _ = strings.Cut(before.Epoch, "~")
	now.Epoch, _, _ = strings.Cut(now.Epoch, "~")
	return now.Reset(cdc.ReasonEpochChanged, cdc.Cursor{Epoch: before.Epoch, Seq: before.Last}.String())
}

// Close implements [cdc.Subscription]. The last one of those that share a
// connection closes it.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.handle.live.leave(s.watch)
	})
	return nil
}
