package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RetainOptions of [Retain]. At least one limit must be set. The oldest events
// are removed as long as any limit is exceeded.
type RetainOptions struct {
	MaxEvents int64         // number of events to keep; 0 means no limit
	MaxBytes  int64         // bytes to keep, counted by Event.Size; 0 means no limit
	MaxAge    time.Duration // age of the oldest event to keep, by Event.Time; 0 means no limit

	// MaxHold is how long events above the limits stay because a follower of
	// this process's [Hub] has not passed them. 0 means 30 s, negative means
	// not at all. All other readers, and those that take longer, get a
	// [*ResetError] with [ReasonTruncated].
	MaxHold time.Duration

	// Interval is the time between two rounds. 0 means 10 s.
	Interval time.Duration

	// OnError is told what failed in a round; the next round tries again. nil
	// means nobody is told.
	OnError func(error)
}

func (o *RetainOptions) check() error {
	switch {
	case o == nil || o.MaxEvents == 0 && o.MaxBytes == 0 && o.MaxAge == 0:
		return errors.New("cdc: retain: no limit is set: set MaxEvents, MaxBytes or MaxAge")
	case o.MaxEvents < 0 || o.MaxBytes < 0 || o.MaxAge < 0 || o.Interval < 0:
		return fmt.Errorf("cdc: retain: a limit or the interval is negative: %+v", *o)
	}
	return nil
}

// Retain keeps the log within the limits until ctx ends, and returns its
// cause. It returns at once with an error if the options are wrong or the log
// is no [Trimmer] ([errors.ErrUnsupported]). It never removes anything above
// the head. Given a [Hub], it waits for that Hub's followers up to MaxHold.
//
// It reads every event once to know the sizes, in pages, and then keeps some 40
// bytes for each page. One Retain for a log is enough; more do no harm.
func Retain(ctx context.Context, log Log, opts *RetainOptions) error {
	if err := opts.check(); err != nil {
		return err
	}
	trimmer, ok := capability[Trimmer](log)
	if !ok {
		return unsupported(log, "Trim")
	}
	r := &retainer{log: log, trimmer: trimmer, opts: *opts}
	if r.opts.MaxHold == 0 {
		r.opts.MaxHold = 30 * time.Second
	}
	if r.opts.Interval == 0 {
		r.opts.Interval = 10 * time.Second
	}
	ticker := time.NewTicker(r.opts.Interval)
	defer ticker.Stop()
	for {
		if err := r.round(ctx); err != nil && ctx.Err() == nil && r.opts.OnError != nil {
			r.opts.OnError(fmt.Errorf("cdc: retain: %w", err))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// retainPage is how many events are read and accounted for at once.
const retainPage = 1024

// retainer knows how many events and bytes lie where between floor and head.
type retainer struct {
	log     Log
	trimmer Trimmer
	opts    RetainOptions

	floor  uint64
	at     Cursor // everything in (floor, at] is in spans
	spans  []span // oldest first
	events int64
	bytes  int64

	heldSince time.Time // zero while no follower is waited for
}

// span is a page of the log.
type span struct {
	last           uint64 // seq
	events, bytes  int64
	oldest, newest time.Time
}

// round takes in what is new and trims what is too much.
func (r *retainer) round(ctx context.Context) error {
	b, err := r.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if r.at.Epoch != b.Epoch || r.at.Seq < b.Floor {
		*r = retainer{log: r.log, trimmer: r.trimmer, opts: r.opts, floor: b.Floor, at: Cursor{Epoch: b.Epoch, Seq: b.Floor}}
	}
	if err := r.followFloor(ctx, b.Floor); err != nil {
		return err
	}
	for r.at.Seq < b.Head {
		page, err := r.log.Read(ctx, r.at, retainPage)
		if err != nil {
			return err
		}
		if page.Next == r.at.Seq {
			break
		}
		r.at = page.cursor(r.at.Epoch)
		r.push(newSpan(page))
	}
	seq, err := r.surplus(ctx)
	if err != nil {
		return err
	}
	if seq = r.hold(min(seq, b.Head)); seq <= b.Floor {
		return nil
	}
	_, err = r.trimmer.Trim(ctx, seq)
	return err
}

// followFloor forgets the spans that were trimmed, by this round's
// predecessor or by others, and counts the one that was cut again.
func (r *retainer) followFloor(ctx context.Context, floor uint64) error {
	for len(r.spans) > 0 && r.spans[0].last <= floor {
		r.drop()
	}
	if len(r.spans) == 0 || floor == r.floor {
		r.floor = floor
		return nil
	}
	page, err := r.part(ctx, floor)
	if err != nil {
		return err
	}
	last := r.spans[0].last
	rest := eventsAfter(page.Events, last)
	cut := newSpan(Page{Events: page.Events[:len(page.Events)-len(rest)], Next: last})
	r.events += cut.events - r.spans[0].events
	r.bytes += cut.bytes - r.spans[0].bytes
	r.spans[0] = cut
	r.floor = floor
	return nil
}

// surplus returns the seq up to which events are above a limit.
func (r *retainer) surplus(ctx context.Context) (uint64, error) {
	events, bytes, seq := r.events, r.bytes, r.floor
	cutoff := time.Now().Add(-r.opts.MaxAge)
	old := func(t time.Time) bool { return r.opts.MaxAge > 0 && t.Before(cutoff) }
	for i, s := range r.spans {
		if r.full(events-s.events, bytes-s.bytes, 0) || old(s.newest) {
			events, bytes, seq = events-s.events, bytes-s.bytes, s.last
			continue
		}
		if !r.full(events, bytes, 1) && !old(s.oldest) {
			return seq, nil
		}
		page, err := r.part(ctx, seq)
		if err != nil {
			return 0, err
		}
		for _, e := range page.Events {
			if e.Seq > r.spans[i].last || !r.full(events, bytes, 1) && !old(e.Time) {
				break
			}
			events, bytes, seq = events-1, bytes-int64(e.Size()), e.Seq
		}
		return seq, nil
	}
	return seq, nil
}

// full reports whether the log would be at a limit with that many events and
// bytes, or above it by at least over.
func (r *retainer) full(events, bytes, over int64) bool {
	return r.opts.MaxEvents > 0 && events >= r.opts.MaxEvents+over ||
		r.opts.MaxBytes > 0 && bytes >= r.opts.MaxBytes+over
}

// hold lowers the seq to the slowest follower of the Hub, for MaxHold.
func (r *retainer) hold(seq uint64) uint64 {
	hub, ok := capability[interface{ Slowest() (uint64, bool) }](r.log)
	if !ok || r.opts.MaxHold < 0 {
		return seq
	}
	slowest, ok := hub.Slowest()
	switch {
	case !ok || slowest >= seq:
		r.heldSince = time.Time{}
		return seq
	case r.heldSince.IsZero():
		r.heldSince = time.Now()
	}
	if time.Since(r.heldSince) >= r.opts.MaxHold {
		return seq
	}
	return slowest
}

// part reads what follows seq; one page is enough for the rest of a span.
func (r *retainer) part(ctx context.Context, seq uint64) (Page, error) {
	return r.log.Read(ctx, Cursor{Epoch: r.at.Epoch, Seq: seq}, retainPage)
}

func newSpan(page Page) span {
	s := span{last: page.Next, events: int64(len(page.Events))}
	for i, e := range page.Events {
		s.bytes += int64(e.Size())
		if i == 0 || e.Time.Before(s.oldest) {
			s.oldest = e.Time
		}
		if e.Time.After(s.newest) {
			s.newest = e.Time
		}
	}
	return s
}

func (r *retainer) push(s span) {
	r.spans = append(r.spans, s)
	r.events += s.events
	r.bytes += s.bytes
}

func (r *retainer) drop() {
	r.events -= r.spans[0].events
	r.bytes -= r.spans[0].bytes
	r.spans = r.spans[1:]
}
