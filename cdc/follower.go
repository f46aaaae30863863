package cdc

import (
	"context"
	"errors"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// errLoopLeft ends a follower whose consumer has left the loop.
var errLoopLeft = errors.New("cdc: consumer left")

// follower is one run of Follow. Reads and heartbeats are what make it long:
// the handoff itself is begin, replay and live.
type follower struct {
	ctx   context.Context
	log   Log
	opts  FollowOptions
	yield func(Batch, error) bool

	sub      Subscription
	pos      Cursor // everything up to here was delivered or did not match
	state    State
	pending  *Page     // read while the start was resolved, not yet delivered
	started  bool      // the first batch was yielded
	lastBeat time.Time // end of the last yield

	beat   *time.Timer // of nextOrBeat; it fires before the heartbeat is due, or then
	wait   beatWait    // of nextWithin
	idles  bool        // next returns errIdle instead of waiting; for a follower of a Hub
	breaks int         // of subscriptions in a row, see resubscribe
	retry  backoff.Backoff
}

// proceed follows from start on, or goes on where it was idle. With errIdle it
// can be called again; every other error is the last.
func (f *follower) proceed(start Start) error {
	idle := false
	defer func() {
		if !idle { // whatever panicked
			f.end()
		}
	}()
	var err error
	if f.sub == nil {
		err = f.begin(start)
	}
	if err == nil {
		err = f.live()
	}
	if idle = errors.Is(err, errIdle); idle {
		return err
	}
	return f.final(err)
}

// begin subscribes before anything is read: the rest of Follow relies on it.
func (f *follower) begin(start Start) error {
	if err := f.subscribe(); err != nil {
		return err
	}
	head, err := f.resolve(start)
	switch {
	case err != nil:
		return err
	case f.pos.Seq < head || f.pending != nil:
		return f.replay(head)
	}
	return f.turnLive()
}

// end frees what the follower holds.
func (f *follower) end() {
	f.endBeats()
	if f.sub != nil {
		_ = f.sub.Close()
	}
}

// replay reads the source to the end and turns live. It may also stop at head,
// the head of a Bounds that was read after the subscription was made or had
// lagged: what lies above wakes it. So a stream turns live under any load.
func (f *follower) replay(head uint64) error {
	f.state = Replaying
	if err := f.readAll(head); err != nil {
		return err
	}
	return f.turnLive()
}

func (f *follower) turnLive() error {
	f.state = Live
	return f.emit(nil)
}

// read returns the next page. A page that the source did not filter is
// filtered on delivery, so that the position has the tag of its last event.
func (f *follower) read() (Page, error) {
	if p := f.pending; p != nil {
		f.pending = nil
		return *p, nil
	}
	return await(f, func(ctx context.Context) (Page, error) {
		return readPushedDown(ctx, f.log, f.pos, f.opts.PageSize, f.opts.Filter)
	})
}

// readAll delivers page after page until the position does not advance or has
// reached the given seq.
func (f *follower) readAll(until uint64) error {
	for {
		page, err := f.read()
		if err != nil {
			return err
		}
		if page.Next == f.pos.Seq {
			return nil
		}
		if err := f.deliver(page); err != nil {
			return err
		}
		if f.pos.Seq >= until {
			return nil
		}
	}
}

// deliver checks what a source returned, and advances.
func (f *follower) deliver(page Page) error {
	if err := page.check(f.pos.Seq); err != nil {
		return err
	}
	return f.advance(page.cursor(f.pos.Epoch), page.Events)
}

// advance moves the position over the events and yields what the filter selects.
func (f *follower) advance(to Cursor, events []Event) error {
	f.pos = to
	return f.emit(f.opts.Filter.Select(events))
}

// emit yields one batch.
func (f *follower) emit(events []Event) error {
	f.started = true
	if !f.yield(Batch{Events: events, Cursor: f.pos, State: f.state}, nil) {
		return errLoopLeft
	}
	f.lastBeat = time.Now()
	if h, ok := f.sub.(holder); ok {
		h.hold(f.pos.Seq)
	}
	return nil
}

// holder is a subscription that wants to know the position of its follower:
// the Hub's, for Retain.
type holder interface{ hold(seq uint64) }

// final turns what ended the stream into its last error.
func (f *follower) final(err error) error {
	if f.ctx.Err() != nil && !errors.Is(err, errLoopLeft) {
		return context.Cause(f.ctx)
	}
	reset, ok := errors.AsType[*ResetError](err)
	if !ok {
		return err
	}
	// The reset is of an earlier view of the source. Where to resume depends on
	// the bounds of now.
	b, boundsErr := await(f, f.log.Bounds)
	if boundsErr != nil {
		return boundsErr
	}
	r := *reset
	if f.started {
		r.Requested = f.pos.String()
		if b.Epoch != f.pos.Epoch {
			r.Reason = ReasonEpochChanged
		}
	}
	r.Floor, r.Head = b.Floor, b.Head
	r.Resume = Cursor{Epoch: b.Epoch, Seq: b.Floor}
	if f.opts.ResetTo == ResetToHead {
		if r.Resume, err = f.tagged(Cursor{Epoch: b.Epoch, Seq: b.Head}, b); err != nil {
			return err
		}
	}
	return &r
}
