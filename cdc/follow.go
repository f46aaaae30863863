package cdc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// State says whether a stream is still reading history.
type State int

// The states of a stream. It may turn from Live back to Replaying, when its
// subscription lagged.
const (
	Replaying State = iota // reading the source up to its head
	Live                   // delivering what becomes readable
)

// String is "replaying" or "live".
func (s State) String() string {
	if s == Live {
		return "live"
	}
	return "replaying"
}

// Batch is one step of a stream.
type Batch struct {
	// Events are the next ones that the filter selects, in order. It is empty
	// where only the cursor or the state moved, or nothing for a heartbeat.
	Events []Event

	// Cursor is the position after the batch: everything up to it was
	// delivered or did not match. A stream that resumes from it loses nothing.
	Cursor Cursor

	State State
}

// Resume says where a stream goes on after a reset.
type Resume int

// Where a [ResetError] points.
const (
	ResumeHead  Resume = iota // skip to the head: the reader reloads its state anyway
	ResumeFloor               // replay everything that is retained
)

// FollowOptions of [Follow]; nil means the defaults.
type FollowOptions struct {
	// Filter selects the events to deliver. The zero value is all.
	Filter Filter

	// Heartbeat is the longest time between two batches, measured from the
	// last. 0 means 15 s; negative is refused.
	Heartbeat time.Duration

	// PageSize is the largest number of events read at once. 0 means 512.
	PageSize int

	// MaxReplay is how far, in seqs, a start may lie below the head; one that
	// lies further is a [*ResetError] with [ReasonTooFar]. 0 means no limit.
	MaxReplay uint64

	// Resume is where a [ResetError] of this stream points. The zero value is
	// the head. [ResumeFloor] together with MaxReplay is refused: a reader sent
	// to the floor would be reset again for ever.
	Resume Resume
}

// Check says what is wrong with the options; nil options are right.
func (o *FollowOptions) Check() error {
	switch {
	case o == nil:
		return nil
	case o.Heartbeat < 0:
		return fmt.Errorf("cdc: FollowOptions.Heartbeat is %v: it must not be negative", o.Heartbeat)
	case o.PageSize < 0:
		return fmt.Errorf("cdc: FollowOptions.PageSize is %d: it must not be negative", o.PageSize)
	case o.Resume != ResumeHead && o.Resume != ResumeFloor:
		return fmt.Errorf("cdc: FollowOptions.Resume is %d: use ResumeHead or ResumeFloor", o.Resume)
	case o.Resume == ResumeFloor && o.MaxReplay > 0:
		return errors.New("cdc: FollowOptions.Resume is ResumeFloor and MaxReplay is set: a reader sent to the floor would be too far again; drop one of them")
	}
	return nil
}

// Follow delivers every event after start that the filter selects, in order,
// each once: history first, then what becomes readable, without a gap between
// the two. A gap is an error, never a shorter stream.
//
// The first batch is empty and holds the cursor that the start was resolved
// to; from then on a batch comes at least once per heartbeat interval. Live is
// announced by a batch of its own, once for each turn to live.
//
// The sequence ends with exactly one non-nil error, beside which the batch
// holds the last cursor: the cause of ctx, a [*ResetError], or what the log
// returned. After a reset the reader reloads its state and follows from
// ResetError.Resume. Nothing is yielded after the loop was left. A slow reader
// slows only itself, and costs no queue.
//
// The sequence may be ranged over more than once, each time from start.
func Follow(ctx context.Context, log Log, start Start, opts *FollowOptions) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f := &follower{ctx: ctx, log: log, yield: yield}
		err := opts.Check()
		if opts != nil {
			f.opts = *opts
		}
		if f.opts.Heartbeat == 0 {
			f.opts.Heartbeat = 15 * time.Second
		}
		if f.opts.PageSize == 0 {
			f.opts.PageSize = 512
		}
		if err == nil {
			if start == latestText {
				start = Latest
			}
			err = f.run(start) //nolint:contextcheck // f has the context
		}
		if !errors.Is(err, errLeft) {
			yield(Batch{Cursor: f.pos, State: f.state}, err)
		}
	}
}

// errLeft ends a follower whose consumer has left the loop.
var errLeft = errors.New("cdc: consumer left")

// maxRenewals is how often in a row a subscription may break without having
// delivered anything before the stream ends with its error.
const maxRenewals = 5

// follower is one run of Follow. Reads and heartbeats are what make it long:
// the handoff itself is run, replay and live.
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
}

func (f *follower) run(start Start) error {
	err := f.subscribe() // before anything is read: the rest of Follow relies on it
	if err != nil {
		return f.final(err)
	}
	defer func() { _ = f.sub.Close() }()
	head, err := f.resolve(start)
	switch {
	case err != nil:
	case f.pos.Seq < head || f.pending != nil:
		err = f.replay(head)
	default:
		err = f.turnLive()
	}
	if err == nil {
		err = f.live()
	}
	return f.final(err)
}

// replay reads the source to the end and turns live. It may also stop at head,
// the head of a Bounds that was read after the subscription was armed: what
// lies above wakes it. So a stream turns live under any load.
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

const noEnd = ^uint64(0)

// live delivers what the subscription brings until something ends the stream.
func (f *follower) live() error {
	broken := 0
	for {
		events, err := f.next()
		switch {
		case f.ctx.Err() != nil:
			return context.Cause(f.ctx)
		case err == nil && len(events) > 0:
			err = f.deliverLive(events)
		case err == nil:
			err = f.readAll(noEnd)
		case errors.Is(err, errBeat):
			err = f.emit(nil)
		case errors.Is(err, ErrLagged):
			err = f.catchUp()
		default:
			if broken++; broken > maxRenewals {
				return err
			}
			at := f.pos.Seq
			if err := f.renew(err, broken); err != nil {
				return err
			}
			if f.pos.Seq > at {
				broken = 0 // the read after the renewal delivered
			}
			continue
		}
		if err != nil {
			return err
		}
		broken = 0
	}
}

// deliverLive delivers those of the events that are above the position. The
// others were replayed, unless the log went back and grew again under its
// subscription, which may hold events of both histories: where the tag of the
// position does not tell, the source does.
func (f *follower) deliverLive(events []Event) error {
	first := 0
	for first < len(events) && events[first].Seq <= f.pos.Seq {
		first++
	}
	if first > 0 {
		if last := events[first-1]; last.Seq != f.pos.Seq || last.Tag() != f.pos.Tag {
			return f.readAll(noEnd)
		}
	}
	if first == len(events) {
		return nil
	}
	page := Page{Events: events[first:], Next: events[len(events)-1].Seq}
	if page.check(events[first].Seq-1) != nil { // of two histories
		return f.readAll(noEnd)
	}
	return f.deliver(page)
}

// catchUp replays after a lag. The subscription is armed again, so what the
// bounds do not show yet will be returned by it. It reads also at the head: a
// log that went back and grew again to there has the same bounds, and what
// would have told was dropped.
func (f *follower) catchUp() error {
	b, err := await(f, f.log.Bounds)
	if err != nil {
		return err
	}
	return f.replay(b.Head)
}

// renew replaces a subscription that ended with cause, and reads what came in
// between. A reset that names the epoch the stream is in already is only that.
func (f *follower) renew(cause error, attempt int) error {
	if reset, ok := errors.AsType[*ResetError](cause); ok {
		b, err := await(f, f.log.Bounds)
		if err != nil {
			return err
		}
		if b.Epoch != f.pos.Epoch || reset.Reason != ReasonEpochChanged {
			return cause
		}
	}
	if errors.Is(cause, ErrClosed) {
		return cause // the log or the hub was closed; nobody else closes f.sub
	}
	if attempt > 1 {
		if err := f.pause(time.Duration(attempt) * 100 * time.Millisecond); err != nil {
			return err
		}
	}
	_ = f.sub.Close()
	if err := f.subscribe(); err != nil {
		return err
	}
	return f.readAll(noEnd)
}

// deliver moves the position over the page and yields what the filter selects.
func (f *follower) deliver(page Page) error {
	if err := page.check(f.pos.Seq); err != nil {
		return err
	}
	f.pos = page.cursor(f.pos.Epoch)
	return f.emit(f.opts.Filter.Select(page.Events))
}

// emit yields one batch.
func (f *follower) emit(events []Event) error {
	f.started = true
	if !f.yield(Batch{Events: events, Cursor: f.pos, State: f.state}, nil) {
		return errLeft
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

// check returns an error for a page that no right source can return.
func (p Page) check(after uint64) error {
	last := after
	for _, e := range p.Events {
		if e.Seq <= last {
			return fmt.Errorf("cdc: seq %d came after %d: a Source must return ascending seqs above the cursor, and what was replayed must not come again live", e.Seq, last)
		}
		last = e.Seq
	}
	if p.Next < last {
		return fmt.Errorf("cdc: the source returned a page with Next %d below %d: Next is the last seq that the page covers", p.Next, last)
	}
	return nil
}

// cursor is the position after the page, with the tag of its last event if
// that is the position.
func (p Page) cursor(epoch string) Cursor {
	c := Cursor{Epoch: epoch, Seq: p.Next}
	if n := len(p.Events); n > 0 && p.Events[n-1].Seq == p.Next {
		c.Tag = p.Events[n-1].Tag()
	}
	return c
}
