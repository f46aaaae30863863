package sse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// parked is what a stream needs that can be parked: it has a connection of its
// own, and a goroutine only while there is something to do.
//
//	running ── nothing to do ──▶ idle ── wake ──▶ running
//	   ╰── wake ──▶ woken ── looks again ──▶ running
type parked struct {
	conn  net.Conn
	place int // in lot.streams; guarded by lot.mu
	fd    int // that lot.leavers watches, if it does; -1 if not

	state atomic.Int32
	armed atomic.Bool // alarm will fire, not later than the next heartbeat is due
	alarm *time.Timer
}

// The states of a stream that can be parked.
const (
	running int32 = iota // its goroutine belongs to it
	woken                // the same, and it must look again before it ends
	idle                 // it has no goroutine
)

// parkable reports whether the connection can be taken over: it must be that of
// HTTP/1.1, and the writer the server's own, so that nothing between the two
// still has something to do or to write.
func (s *stream) parkable(r *http.Request) bool {
	if s.h.lot == nil {
		return false
	}
	_, bounded := r.Context().Deadline()
	_, hijacker := s.out.w.(http.Hijacker)
	t := reflect.TypeOf(s.out.w)
	own := hijacker && t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http"
	return own && !bounded && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.TLS == nil && s.request.limit == 0
}

// openParkable takes the connection over and gives the stream a goroutine. Its
// context has the values of the request's, which ends when the handler returns.
func (s *stream) openParkable(r *http.Request) (handedOver bool, err error) {
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(r.Context()))
	s.parked = &parked{fd: -1}
	if !s.entered() {
		defer s.cancel(nil)
		return false, s.reject()
	}
	s.observeOpened()
	conn, _, err := s.out.w.(http.Hijacker).Hijack() // what the client has sent behind its request is not for us
	if err != nil {
		s.cancel(nil)
		s.h.leave(s, EndClient)
		return false, &writeError{err: err}
	}
	s.parked.conn = conn
	s.out.takeOver(conn)
	go s.begun() // Drain waits for it
	return true, nil
}

// begun is the first turn of the stream.
func (s *stream) begun() {
	s.h.lot.enter(s)
	s.begin()
	s.parked.state.Store(running)
	s.turn()
}

// wake lets the stream look whether there is something to do. Anyone may call it.
func (s *stream) wake() {
	for {
		switch state := s.parked.state.Load(); state {
		case idle:
			if s.parked.state.CompareAndSwap(idle, running) {
				go s.turn() // Drain waits for it
				return
			}
		case running:
			if s.parked.state.CompareAndSwap(running, woken) {
				return
			}
		default:
			return
		}
	}
}

// turn does what there is to do, and parks the stream or ends it.
func (s *stream) turn() {
	defer func() {
		if p := recover(); p != nil { // net/http would have recovered it
			s.h.report(fmt.Errorf("sse: panic: %v\n\n%s", p, debug.Stack()))
			s.out.err = &writeError{err: errors.New("panic")} // not in good order
			s.over(EndLog)
		}
	}()
	for {
		if err := s.proceed(); err != nil {
			s.over(s.end(err))
			return
		}
		if s.park() {
			return
		}
	}
}

// park ends the turn, after which the stream may belong to another goroutine. It
// reports false if the stream was woken meanwhile.
func (s *stream) park() bool {
	p := s.parked
	if !p.armed.Swap(true) {
		rest := time.Until(s.follower.Due())
		if p.alarm == nil {
			p.alarm = time.AfterFunc(rest, s.alarm)
		} else {
			p.alarm.Reset(rest)
		}
	}
	if p.state.CompareAndSwap(running, idle) {
		return true
	}
	p.state.Store(running)
	return false
}

// alarm wakes the stream for its heartbeat. If something was sent since it was
// set, there is none yet, and it is set anew.
func (s *stream) alarm() {
	s.parked.armed.Store(false)
	s.wake()
}

// over ends the connection and then the stream, so that Drain returns when the
// client has been sent everything.
func (s *stream) over(reason EndReason) {
	s.stopTimer()
	if s.parked.alarm != nil {
		s.parked.alarm.Stop()
	}
	s.parked.state.Store(woken) // for ever
	s.out.finish()
	s.h.lot.leave(s)
	s.out.close()
	_ = s.parked.conn.Close()
	s.cancel(nil)
	s.h.leave(s, reason)
}

// isParked reports whether the stream has no goroutine. Anyone may call it.
func (s *stream) isParked() bool { return s.parked != nil && s.parked.state.Load() == idle }
