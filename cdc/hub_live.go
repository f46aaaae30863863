package cdc

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// unknownPosition is the position of a follower that has not started.
const unknownPosition = math.MaxUint64

// Subscribe implements [Subscriber]. It takes effect at once, also while the
// log cannot be reached: what is committed meanwhile is found when the Hub has
// reached it again.
func (h *Hub) Subscribe(ctx context.Context) (Subscription, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tasks.stopped() {
		return nil, h.tasks.why()
	}
	s := &hubSubscription{hub: h, at: h.tail.end.Seq, moves: h.moves, resets: h.resets}
	s.position.Store(unknownPosition)
	h.subs[s] = struct{}{}
	return s, nil
}

// hubSubscription is a position in the Hub's tail: it holds no events.
type hubSubscription struct {
	hub      *Hub
	position atomic.Uint64 // what the follower has handled
	waiting  atomic.Bool   // Next has a channel to wait on

	// Of the goroutine that calls Next; the hub's mutex guards them only
	// because they are compared with what it guards.
	at     uint64 // everything up to here was returned
	tag    string // of the last event that was returned; empty: it is not known
	moves  uint64
	resets uint64

	closed bool // guarded by the hub's mutex
}

// hold implements holder.
func (s *hubSubscription) hold(seq uint64) { s.position.Store(seq) }

// lastTag implements tagger.
func (s *hubSubscription) lastTag() string { return s.tag }

// Next implements [Subscription].
func (s *hubSubscription) Next(ctx context.Context) ([]Event, error) {
	return s.nextOrBeat(ctx, nil)
}

// nextOrBeat implements beater. Each channel that it waits on costs an idle
// stream memory.
func (s *hubSubscription) nextOrBeat(ctx context.Context, beat <-chan time.Time) ([]Event, error) {
	for {
		if ctx.Err() != nil { // what has ended wins over what is new
			return nil, context.Cause(ctx)
		}
		events, changed, err := s.take()
		if changed == nil {
			return events, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-beat:
			err = errBeat
		}
		s.waiting.Store(false)
		if err != nil {
			return nil, err
		}
	}
}

// nextOrIdle implements beater.
func (s *hubSubscription) nextOrIdle(ctx context.Context) ([]Event, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	events, idle, err := s.takeLocked()
	if idle {
		err = errIdle
	}
	return events, err
}

// take returns what Next has to return, or the channel to wait on.
func (s *hubSubscription) take() (events []Event, changed <-chan struct{}, err error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	events, idle, err := s.takeLocked()
	if !idle {
		return events, nil, err
	}
	s.waiting.Store(true)
	return nil, h.changedLocked(), nil
}

// takeLocked returns what Next has to return, or that there is nothing.
func (s *hubSubscription) takeLocked() (events []Event, idle bool, err error) {
	h := s.hub
	switch {
	case s.closed:
		return nil, false, ErrClosed
	case h.tasks.stopped():
		return nil, false, h.tasks.why()
	case s.resets != h.resets:
		return nil, false, h.reset
	case s.moves != h.moves:
		s.moves, s.at = h.moves, h.tail.end.Seq
		return nil, false, nil
	case s.at < h.tail.base.Seq:
		s.at = h.tail.end.Seq
		return nil, false, ErrLagged
	case s.at < h.tail.end.Seq:
		page := h.tail.page(s.at, chunkEvents)
		s.at, s.tag = page.Next, ""
		if n := len(page.Events); n > 0 && page.Events[n-1].Seq == h.tail.end.Seq {
			s.tag = h.tail.end.Tag
		}
		return page.Events, false, nil
	}
	return nil, true, nil
}

// Close implements [Subscription]. A Next that waits is woken together with all
// others: only who closes a subscription beside its Next needs that.
func (s *hubSubscription) Close() error {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.closed = true
	delete(h.subs, s)
	if s.waiting.Load() {
		h.wake()
	}
	return nil
}
