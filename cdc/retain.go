package cdc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// RetainOptions of [Retain]. At least one limit must be set. The oldest events
// are removed as long as any limit is exceeded.
type RetainOptions struct {
	MaxEvents int64         // number of events to keep; 0 means no limit, negative is refused
	MaxBytes  int64         // bytes to keep, counted by Event.Size; 0 means no limit, negative is refused
	MaxAge    time.Duration // age of the oldest event to keep, by Event.Time; 0 means no limit, negative is refused

	// MaxHold is how long events above the limits stay because a follower of
	// this process's [Hub] has not passed them. 0 means 30 s, negative means
	// not at all. All other readers, and those that take longer, get a
	// [*ResetError] with [ReasonTruncated].
	MaxHold time.Duration

	// Wait is for workers: what they have not handled stays above the limits,
	// too. nil: no worker is waited for.
	Wait *RetainWait

	// Interval is the time between two rounds. 0 means 10 s; negative is
	// refused.
	Interval time.Duration

	// OnError is called with what failed in a round; the next round tries
	// again. nil means that errors are not reported.
	OnError func(error)
}

func (o *RetainOptions) check() error {
	if o == nil || o.limits() == (limits{}) {
		return errors.New("cdc: retain: no limit is set: set MaxEvents, MaxBytes or MaxAge")
	}
	if err := o.limits().check("RetainOptions"); err != nil {
		return err
	}
	if o.Interval < 0 {
		return fmt.Errorf("cdc: RetainOptions.Interval is %v: it must not be negative", o.Interval)
	}
	return o.Wait.check(o.limits())
}

func (o *RetainOptions) limits() limits { return limits{o.MaxEvents, o.MaxBytes, o.MaxAge} }

// Retain keeps the log within the limits until ctx ends, and returns its
// cause. It returns at once with an error if the options are wrong or the log
// is no [Trimmer] ([errors.ErrUnsupported]). It never removes anything above
// the head. Given a [Hub], it waits for that Hub's followers up to MaxHold;
// given workers, for those up to the limits of [RetainWait].
//
// It reads every event once to know the sizes, and then keeps 40 bytes for each
// full page. One Retain for a log is enough; more do no harm.
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

// retainer keeps count of the events and bytes between floor and head.
type retainer struct {
	log     Log
	trimmer Trimmer
	opts    RetainOptions

	floor  uint64 // of the log, when the spans were last brought up to date
	end    Cursor // every event in (floor, end] is counted in a span
	spans  []span // in order, without a hole between them
	events int64  // in all spans
	bytes  int64

	heldSince time.Time // zero while no follower is waited for
}

// span sums up a part of the log: what lies above the span before it, up to
// and including last.
type span struct {
	last           uint64 // seq
	events, bytes  int64
	oldest, newest int64 // Event.Time, in microseconds
}

// add counts an event that follows those of the span.
func (s *span) add(e Event) {
	at := e.Time.UnixMicro()
	if s.events == 0 {
		s.oldest, s.newest = at, at
	}
	s.last = e.Seq
	s.oldest, s.newest = min(s.oldest, at), max(s.newest, at)
	s.events++
	s.bytes += int64(e.Size())
}

// takes reports whether the span with the page would still be about as much as
// one full page: it may have to be read again.
func (s *span) takes(page Page) bool {
	return s.events+int64(len(page.Events)) <= retainPage && s.bytes < PageBytes/2
}

// round counts what is new and trims what is too much.
func (r *retainer) round(ctx context.Context) error {
	b, err := r.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if r.end.Epoch != b.Epoch || r.end.Seq < b.Floor {
		*r = retainer{log: r.log, trimmer: r.trimmer, opts: r.opts, floor: b.Floor, end: Cursor{Epoch: b.Epoch, Seq: b.Floor}}
	}
	if err := r.forget(ctx, b.Floor); err != nil {
		return err
	}
	if err := r.count(ctx, b.Head); err != nil {
		return err
	}
	seq, err := r.surplus(ctx, r.opts.limits())
	if err != nil {
		return err
	}
	seq, waitErr := r.wait(ctx, b, min(seq, b.Head))
	if seq = r.hold(seq); seq > b.Floor {
		_, err = r.trimmer.Trim(ctx, seq)
	}
	return errors.Join(waitErr, err)
}

// forget drops the spans that were trimmed, by the round before or by others,
// and counts the one again that was trimmed in part.
func (r *retainer) forget(ctx context.Context, floor uint64) error {
	for len(r.spans) > 0 && r.spans[0].last <= floor {
		r.events -= r.spans[0].events
		r.bytes -= r.spans[0].bytes
		r.spans = r.spans[1:]
	}
	if len(r.spans) > 0 && floor != r.floor {
		rest := span{}
		for e, err := range r.between(ctx, floor, r.spans[0].last) {
			if err != nil {
				return err
			}
			rest.add(e)
		}
		rest.last = r.spans[0].last // perhaps a hole
		r.events += rest.events - r.spans[0].events
		r.bytes += rest.bytes - r.spans[0].bytes
		r.spans[0] = rest
	}
	r.floor = floor
	return nil
}

// count reads on to the head. Pages may be of any length: short ones become
// one span.
func (r *retainer) count(ctx context.Context, head uint64) error {
	for r.end.Seq < head {
		page, err := r.log.Read(ctx, r.end, retainPage)
		if err != nil {
			return err
		}
		if page.Next == r.end.Seq {
			return nil
		}
		if n := len(r.spans); n == 0 || !r.spans[n-1].takes(page) {
			r.spans = append(r.spans, span{})
		}
		newest := &r.spans[len(r.spans)-1]
		bytes := newest.bytes
		for _, e := range page.Events {
			newest.add(e)
		}
		newest.last = page.Next
		r.events += int64(len(page.Events))
		r.bytes += newest.bytes - bytes
		r.end = page.cursor(r.end.Epoch)
	}
	return nil
}

// surplus returns the seq up to which events are above a limit.
func (r *retainer) surplus(ctx context.Context, l limits) (uint64, error) {
	events, bytes, seq := r.events, r.bytes, r.floor
	cutoff := time.Now().Add(-l.age).UnixMicro()
	old := func(at int64) bool { return l.age > 0 && at < cutoff }
	for _, s := range r.spans {
		if l.full(events-s.events, bytes-s.bytes, 0) || old(s.newest) {
			events, bytes, seq = events-s.events, bytes-s.bytes, s.last
			continue
		}
		if !l.full(events, bytes, 1) && !old(s.oldest) {
			return seq, nil
		}
		for e, err := range r.between(ctx, seq, s.last) {
			if err != nil {
				return 0, err
			}
			if !l.full(events, bytes, 1) && !old(e.Time.UnixMicro()) {
				break
			}
			events, bytes, seq = events-1, bytes-int64(e.Size()), e.Seq
		}
		return seq, nil
	}
	return seq, nil
}

// limits of what is kept; 0 is none.
type limits struct {
	events, bytes int64
	age           time.Duration
}

// check refuses a negative limit of the options that are called owner.
func (l limits) check(owner string) error {
	switch {
	case l.events < 0:
		return fmt.Errorf("cdc: %s.MaxEvents is %d: it must not be negative", owner, l.events)
	case l.bytes < 0:
		return fmt.Errorf("cdc: %s.MaxBytes is %d: it must not be negative", owner, l.bytes)
	case l.age < 0:
		return fmt.Errorf("cdc: %s.MaxAge is %v: it must not be negative", owner, l.age)
	}
	return nil
}

// full reports whether the log would be at a limit with that many events and
// bytes, or above it by at least over.
func (l limits) full(events, bytes, over int64) bool {
	return l.events > 0 && events >= l.events+over || l.bytes > 0 && bytes >= l.bytes+over
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

// between reads the events in (after, last], in as many pages as the log makes
// of them. An error is the last that it yields.
func (r *retainer) between(ctx context.Context, after, last uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for after < last {
			page, err := r.log.Read(ctx, Cursor{Epoch: r.end.Epoch, Seq: after}, retainPage)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page.Events {
				if e.Seq > last || !yield(e, nil) {
					return
				}
			}
			if page.Next == after {
				return
			}
			after = page.Next
		}
	}
}
