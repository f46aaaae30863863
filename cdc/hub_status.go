package cdc

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// HubStatus is what a [Hub] holds at one moment.
type HubStatus struct {
	Base, End Cursor // of the tail: all events in (Base, End] are in memory; End has no epoch before the log was reached
	Events    int    // in the tail
	Bytes     int    // in the tail, by Event.Size
	Followers int
	Slowest   uint64 // lowest position of the followers; End.Seq if there is none

	// Newest is the Event.Time of the newest event in the tail, zero if there
	// is none.
	Newest time.Time

	MaxEvents, MaxBytes int // limits of the tail

	// Failing is since when the Hub's reader cannot follow the log, and Failure
	// the last reason; zero and nil while it can. It tries again, unless the
	// Failure is [ErrClosed] or [ErrDeleted]: then the Hub has ended.
	Failing time.Time
	Failure error

	// Reads of followers since the Hub was made: answered from the tail, by
	// the log (a [*ResetError] is an answer), and not at all because the log
	// failed. Errors also counts those for which the Hub's own reader had to
	// begin again.
	Hits, Misses, Errors uint64
}

// hubReads counts reads by their outcome.
type hubReads struct{ hits, misses, errors atomic.Uint64 }

// Status returns what the Hub holds now.
func (h *Hub) Status() HubStatus {
	slowest, ok := h.Slowest()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !ok {
		slowest = h.tail.end.Seq
	}
	var newest time.Time
	if n := len(h.tail.chunks); n > 0 {
		events := h.tail.chunks[n-1].events
		newest = events[len(events)-1].Time
	}
	return HubStatus{
		Base: h.tail.base, End: h.tail.end,
		Events: h.tail.events, Bytes: h.tail.bytes,
		Followers: len(h.subs), Slowest: min(slowest, h.tail.end.Seq),
		Newest: newest, Failing: h.failing, Failure: h.failure,
		MaxEvents: h.opts.TailEvents, MaxBytes: h.opts.TailBytes,
		Hits: h.reads.hits.Load(), Misses: h.reads.misses.Load(), Errors: h.reads.errors.Load(),
	}
}

// fails keeps why the reader cannot follow the log, and since when.
func (h *Hub) fails(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failsLocked(err)
}

func (h *Hub) failsLocked(err error) {
	if h.failing.IsZero() {
		h.failing = time.Now()
	}
	h.failure = err
}

// follows notes that the reader follows the log.
func (h *Hub) follows() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.tasks.stopped() {
		h.failing, h.failure = time.Time{}, nil
	}
}

// Waiting returns the time of the oldest event above seq in the tail: since
// when a follower at seq is behind. It is zero if there is none, and exact is
// false if older ones may be in the log only. It never asks the log.
func (h *Hub) Waiting(seq uint64) (since time.Time, exact bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	exact = seq >= h.tail.base.Seq
	if page := h.tail.page(max(seq, h.tail.base.Seq), 1); len(page.Events) > 0 {
		since = page.Events[0].Time
	}
	return since, exact
}

// count counts a read. That a follower has gone is no error.
func (h *Hub) count(ctx context.Context, tail bool, err error) {
	if ctx.Err() != nil {
		return
	}
	if _, reset := errors.AsType[*ResetError](err); reset {
		err = nil
	}
	switch {
	case err != nil:
		h.reads.errors.Add(1)
	case tail:
		h.reads.hits.Add(1)
	default:
		h.reads.misses.Add(1)
	}
}

// report counts an error of the reader, which nobody else sees while all
// followers are live, and tells OnError. That the log was replaced is no error
// to be counted. A panic of OnError harms no follower, and is counted.
func (h *Hub) report(err error) {
	if _, reset := errors.AsType[*ResetError](err); !reset {
		h.reads.errors.Add(1)
	}
	if h.opts.OnError == nil {
		return
	}
	defer func() {
		if recover() != nil {
			h.reads.errors.Add(1)
		}
	}()
	h.opts.OnError(err)
}
