package sse

import (
	"context"
	"net"
	"net/http"
	"reflect"
)

// parked is a stream that has the connection for itself. No goroutine of
// net/http waits for it.
type parked struct {
	conn net.Conn
	fd   int // that dispatcher.leavers watches, if it does; -1 if not
}

// parkable reports whether the connection can be taken over: it must be that of
// HTTP/1.1, and the writer the server's own, so that nothing between the two
// still has something to do or to write.
func (s *stream) parkable(r *http.Request) bool {
	if !s.h.opts.Limits.Park {
		return false
	}
	_, bounded := r.Context().Deadline()
	_, hijacker := s.out.w.(http.Hijacker)
	t := reflect.TypeOf(s.out.w)
	own := hijacker && t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http"
	return own && !bounded && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.TLS == nil && s.request.limit == 0
}

// park takes the connection over.
func (s *stream) park() error {
	conn, _, err := s.out.w.(http.Hijacker).Hijack() // what the client has sent behind its request is not for us
	if err != nil {
		s.cancel(nil)
		s.h.leave(s, EndClient)
		return &writeError{err: err}
	}
	s.parked.conn = conn
	s.out.takeOver(conn)
	return nil
}

// hangUp ends the connection and then the stream, so that Drain returns when the
// client has been sent everything.
func (s *stream) hangUp(reason EndReason) {
	s.out.finish()
	s.out.close()
	_ = s.parked.conn.Close()
	s.cancel(nil)
	s.h.leave(s, reason)
}

// left ends a stream as net/http does when a client leaves.
func (s *stream) left() { s.stop(context.Canceled) }

// awaitLeave reads until the client leaves. What it sends is not for us.
func (s *stream) awaitLeave() {
	ignored := make([]byte, 16)
	for {
		if _, err := s.parked.conn.Read(ignored); err != nil {
			s.left()
			return
		}
	}
}

// isParked reports whether the stream has no goroutine. Anyone may call it.
func (s *stream) isParked() bool { return s.parked != nil && s.turns.state.Load() == idle }
