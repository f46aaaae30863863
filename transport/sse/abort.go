package sse

import (
	"iter"
	"net"
	"net/http"
	"time"
)

// abort ends a response whose client may not have got all of what was sent: the
// end of the body, or of the stream on HTTP/2 and 3, must not look as if
// everything had been sent. It panics with [http.ErrAbortHandler], as net/http
// asks for; what comes before is for middleware that recovers from every panic.
func (w *writer) abort(r *http.Request) {
	w.mu.Lock()
	err := w.control.SetWriteDeadline(time.Unix(1, 0)) // ends a stream of HTTP/2 with a reset
	w.closed = true
	w.mu.Unlock()
	switch {
	case r.ProtoMajor == 1:
		if conn := hijack(w.w); conn != nil {
			closeConn(conn, r.ProtoMinor == 0)
		}
	case r.ProtoMajor == 3 && err == nil:
		_, _ = innermost(w.w).Write([]byte("\n")) // fails by the deadline, and leaves a frame that is not whole
	}
	panic(http.ErrAbortHandler)
}

// hijack takes over the connection, past wrappers that refuse to do so once
// something was written. It returns nil if there is no way.
func hijack(w http.ResponseWriter) net.Conn {
	for layer := range layers(w) {
		if h, ok := layer.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				return conn
			}
		}
	}
	return nil
}

func innermost(w http.ResponseWriter) http.ResponseWriter {
	for layer := range layers(w) {
		w = layer
	}
	return w
}

// layers are the writer and those that it wraps, as
// [http.ResponseController] finds them.
func layers(w http.ResponseWriter) iter.Seq[http.ResponseWriter] {
	return func(yield func(http.ResponseWriter) bool) {
		for yield(w) {
			wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
			if !ok {
				return
			}
			w = wrapper.Unwrap()
		}
	}
}

// closeConn closes the connection, with a TCP reset if every other end would be
// that of the body, as on HTTP/1.0.
func closeConn(conn net.Conn, reset bool) {
	if reset {
		conn = tcpConn(conn) // without a goodbye of TLS
		setLinger(conn, 0)
	}
	_ = conn.Close()
}

// tcpConn is what is below TLS.
func tcpConn(conn net.Conn) net.Conn {
	for layer := range connLayers(conn) {
		conn = layer
	}
	return conn
}

func setLinger(conn net.Conn, seconds int) {
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(seconds)
	}
}

// connKey is the context key of the connection.
type connKey struct{}

// endWithReset lets the connection of a stream over HTTP/1.0 end with a TCP
// reset until the function that it returns is called: net/http closes it by
// itself when a write fails. Without ConnContext nothing is known of it.
func endWithReset(r *http.Request) (inGoodOrder func()) {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok || r.ProtoMajor != 1 || r.ProtoMinor != 0 {
		return func() {}
	}
	conn = tcpConn(conn)
	setLinger(conn, 0)
	return func() { setLinger(conn, -1) }
}
