package sse

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// turns is how a stream gets a goroutine: only while there is something to do.
// Its handler waits meanwhile, unless the stream is parked and has none.
//
//	running ── nothing to do ──▶ idle ── wake ──▶ running
//	   ╰── wake ──▶ woken ── looks again ──▶ running
type turns struct {
	state atomic.Int32
	place int // in dispatcher.streams; guarded by dispatcher.mu

	armed atomic.Bool // alarm will fire, not later than the next heartbeat is due
	alarm *time.Timer

	// Of a stream that its handler waits for.
	ended       chan struct{} // closed by over
	reason      EndReason     // why it has ended
	panicked    any           // what foreign code panicked with, if it did
	inGoodOrder func()        // see endWithReset
	unwatch     func() bool   // the end of the request is no stop any more
}

// The states of a stream.
const (
	running int32 = iota // its goroutine belongs to it
	woken                // the same, and it must look again before it ends
	idle                 // it has no goroutine
)

func (s *stream) firstTurn() {
	s.h.dispatcher.enter(s)
	s.begin()
	s.turn()
}

// claim reports whether the caller has to give the stream a turn. If not, it has
// one, and looks again before that ends. Anyone may call it.
func (s *stream) claim() bool {
	for {
		switch state := s.turns.state.Load(); state {
		case idle:
			if s.turns.state.CompareAndSwap(idle, running) {
				return true
			}
		case running:
			if s.turns.state.CompareAndSwap(running, woken) {
				return false
			}
		default:
			return false
		}
	}
}

// wake lets the stream look whether there is something to do. Anyone may call it.
func (s *stream) wake() {
	if s.claim() {
		go s.turn() // Drain waits for it
	}
}

// turn does what there is to do, and lets the stream rest or ends it.
func (s *stream) turn() {
	returns := false
	defer func() {
		if !returns {
			s.panics(cmp.Or(recover(), any("runtime.Goexit")))
		}
	}()
	for {
		err := s.proceed()
		if err != nil {
			s.over(s.end(err))
		}
		if returns = err != nil || s.rest(); returns {
			return
		}
	}
}

// panics ends a stream in which foreign code has panicked.
func (s *stream) panics(p any) {
	if s.parked != nil { // net/http would have recovered it
		s.h.report(fmt.Errorf("sse: panic: %v\n\n%s", p, debug.Stack()))
		s.out.err = &writeError{err: errors.New("panic")} // not in good order
	} else if s.turns.panicked = p; p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		s.turns.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
	}
	s.over(EndLog)
}

// rest ends the turn, after which the stream may belong to another goroutine. It
// reports false if the stream was woken meanwhile.
func (s *stream) rest() bool {
	t := &s.turns
	if !t.armed.Swap(true) {
		left := time.Until(s.follower.Due())
		if t.alarm == nil {
			t.alarm = time.AfterFunc(left, s.alarm)
		} else {
			t.alarm.Reset(left)
		}
	}
	if t.state.CompareAndSwap(running, idle) {
		return true
	}
	t.state.Store(running)
	return false
}

// alarm wakes the stream for its heartbeat. If something was sent since it was
// set, there is none yet, and it is set anew.
func (s *stream) alarm() {
	s.turns.armed.Store(false)
	s.wake()
}

// over ends the turns of the stream for ever.
func (s *stream) over(reason EndReason) {
	s.stopTimer()
	if s.turns.alarm != nil {
		s.turns.alarm.Stop()
	}
	s.turns.state.Store(woken)
	s.h.dispatcher.leave(s)
	if s.parked != nil {
		s.hangUp(reason)
		return
	}
	s.turns.reason = reason
	close(s.turns.ended)
}
