package cdc

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Observer is told what a [Hub] and the streams of a transport do: what metrics
// are made of. One Observer may be given to many. Its methods are called
// concurrently, while somebody waits, so they must be quick.
type Observer interface {
	// HubRead is told each read that a follower made through a Hub, and each
	// error for which the Hub's own reader had to begin again.
	HubRead(HubRead)

	// StreamOpened is told each stream that a transport admits.
	StreamOpened()

	// StreamSent is told each write of events to a client.
	StreamSent(StreamSent)

	// StreamEnded is told the end of each stream that was opened, and with
	// admitted false of each that was turned away. The reasons are those of
	// the transport: a small, fixed set of texts.
	StreamEnded(reason string, admitted bool)
}

// HubRead is one read through a [Hub].
type HubRead struct {
	Tail bool  // answered from the tail in memory; otherwise the log was asked
	Err  error // of the log; nil if it answered. A [*ResetError] is an answer
}

// StreamSent is one write of events to one client.
type StreamSent struct {
	Events int
	Bytes  int
	State  State

	// Delay is the time from [Event.Time] of the newest of the events to the
	// end of the write. It is as right as the clocks of the two agree.
	Delay time.Duration
}

// HubStatus is what a [Hub] holds at one moment.
type HubStatus struct {
	Base, End Cursor // of the tail: all events in (Base, End] are in memory; End has no epoch before the log was reached
	Events    int    // in the tail
	Bytes     int    // in the tail, by Event.Size
	Followers int
	Slowest   uint64 // lowest position of the followers; End.Seq if there is none

	MaxEvents, MaxBytes int // limits of the tail

	// Reads of followers since the Hub was made: answered from the tail, by
	// the log, and not at all because the log failed; Errors counts those of
	// the Hub's own reader too.
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
	return HubStatus{
		Base: h.tail.base, End: h.tail.end,
		Events: h.tail.events, Bytes: h.tail.bytes,
		Followers: len(h.subs), Slowest: min(slowest, h.tail.end.Seq),
		MaxEvents: h.opts.TailEvents, MaxBytes: h.opts.TailBytes,
		Hits: h.reads.hits.Load(), Misses: h.reads.misses.Load(), Errors: h.reads.errors.Load(),
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

// observe counts a read and tells the observer. That a follower has gone is no
// error.
func (h *Hub) observe(ctx context.Context, tail bool, err error) {
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
	if h.opts.Observer != nil {
		h.opts.Observer.HubRead(HubRead{Tail: tail, Err: err})
	}
}

// observeBreak counts an error of the reader and tells the observer: with all
// followers live nobody else meets it. That the log was replaced is no error.
func (h *Hub) observeBreak(err error) {
	if _, reset := errors.AsType[*ResetError](err); reset {
		return
	}
	h.reads.errors.Add(1)
	if h.opts.Observer != nil {
		h.opts.Observer.HubRead(HubRead{Err: err})
	}
}
