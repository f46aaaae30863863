package cdc

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// errIdle is returned by next instead of waiting.
var errIdle = errors.New("cdc: nothing to deliver")

// Follower is a [Follow] of a Hub for a consumer that keeps no goroutine while
// nothing happens. It holds its place in the Hub meanwhile: [Retain] waits for
// it. Use [Hub.Follower], range over Batches again and again, and Close it
// unless a sequence has ended with an error. It is for one goroutine at a time.
type Follower struct {
	f     follower
	start Start
	err   error // why it has ended; nil while it has not
}

// Follower returns a follower that begins at start, once Batches is ranged
// over. Options that [FollowOptions.Check] refuses are the error of Batches.
func (h *Hub) Follower(start Start, opts *FollowOptions) *Follower {
	p := &Follower{start: start}
	p.f.init(h, opts)
	p.f.idles = true
	p.err = opts.Check()
	return p
}

// Batches yields what [Follow] would, from where the last sequence ended, and
// ends without an error where Follow would wait for the Hub: range over it again
// when [Hub.Await] has returned, and at the time of [Follower.Due] for a
// heartbeat. History is read as Follow does, however long that takes. An error
// is final, and comes again. To leave the loop closes the Follower.
func (p *Follower) Batches(ctx context.Context) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f := &p.f
		if p.err == nil {
			f.ctx, f.yield = ctx, yield
			err := f.proceed(p.start) //nolint:contextcheck // f has the context
			f.ctx, f.yield = nil, nil // an idle follower holds nothing of its consumer
			if errors.Is(err, errIdle) {
				return
			}
			p.err = err
			if errors.Is(err, errLoopLeft) {
				p.err = ErrClosed
				return
			}
		}
		yield(Batch{Cursor: f.pos, State: f.state}, p.err)
	}
}

// Due is when the next heartbeat is due.
func (p *Follower) Due() time.Time { return p.f.lastBeat.Add(p.f.opts.Heartbeat) }

// Close gives up the follower's place in the Hub; Batches yields [ErrClosed]
// from then on. It is idempotent, and must not be called beside Batches.
func (p *Follower) Close() {
	p.f.end()
	if p.err == nil {
		p.err = ErrClosed
	}
}

func (f *follower) init(log Log, opts *FollowOptions) {
	f.log, f.retry = log, backoff.Backoff{Min: 200 * time.Millisecond, Max: time.Second}
	if opts != nil {
		f.opts = *opts
	}
	if f.opts.Heartbeat == 0 {
		f.opts.Heartbeat = 15 * time.Second
	}
	if f.opts.PageSize == 0 {
		f.opts.PageSize = 512
	}
}

// Await returns when the Hub may have something for its idle followers (events,
// a reset, its end) that it had not at the change with the number seen, and the
// number of the newest change. 0 is before the first. The error is the cause of
// ctx, or why the Hub has ended.
func (h *Hub) Await(ctx context.Context, seen uint64) (change uint64, err error) {
	for {
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		h.mu.Lock()
		change, ended := h.changes, h.tasks.stopped()
		changed := h.changedLocked()
		h.mu.Unlock()
		switch {
		case change != seen:
			return change, nil
		case ended:
			return seen, h.tasks.why()
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
