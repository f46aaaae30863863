package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// around serves a handler behind a middleware, with another server.
func around(t *testing.T, wrap func(http.Handler) http.Handler, configure func(*http.Server)) *server {
	t.Helper()
	s := &server{log: memlog.New(nil)}
	var err error
	if s.handler, err = newHandler(s.log, &sse.Options{Retry: time.Millisecond, Heartbeat: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(wrap(s.handler))
	configure(s.Config)
	s.Start()
	t.Cleanup(func() {
		_ = s.handler.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func TestDeadlineOfAMiddleware(t *testing.T) {
	const limit = 500 * time.Millisecond
	withContext := func(end func(context.Context) (context.Context, context.CancelFunc)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := end(r.Context())
				defer cancel()
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		}
	}
	tests := map[string]struct {
		wrap   func(http.Handler) http.Handler
		reason sse.EndReason
	}{
		"context.WithTimeout, as chi.Timeout": {withContext(func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, limit)
		}), sse.EndDeadline},
		"context.WithTimeoutCause": {withContext(func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, limit, errors.New("too long"))
		}), sse.EndDeadline},
		"context.WithCancelCause": {withContext(func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(limit, func() { cancel(errors.New("the circuit is open")) })
			return ctx, func() { cancel(nil) }
		}), sse.EndDeadline},
		"a read deadline, which net/http takes for a client that left": {func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limit))
				next.ServeHTTP(w, r)
			})
		}, sse.EndClient},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			skipUnseen(t, name)
			s := around(t, test.wrap, func(*http.Server) {})
			appendData(t, s.log, `1`)
			f := s.follow(t, "?after=beginning")
			f.want("cdc.hello")
			id := f.wantPayload(`1`).id
			f.want("cdc.live")
			if got := f.want("cdc.reconnect"); got.id != id || got.retry == "" {
				t.Errorf("reconnect %+v, want the id %s and a retry", got, id)
			}
			f.wantEnd()
			awaitStatus(t, s.handler, "the end", func(st sse.Status) bool { return st.Ended[test.reason] == 1 })
		})
	}
}

// The read timeout of the server is for the request, which has been read.
func TestReadTimeoutOfTheServer(t *testing.T) {
	s := around(t, func(h http.Handler) http.Handler { return h }, func(s *http.Server) { s.ReadTimeout = 300 * time.Millisecond })
	f := s.follow(t, "")
	f.want("cdc.hello")
	f.want("cdc.live")
	for begun := time.Now(); time.Since(begun) < time.Second; {
		if got, err := f.next(); err != nil || !got.comment {
			t.Fatalf("frame %+v, error %v after %v, want heartbeats", got, err, time.Since(begun))
		}
	}
	appendData(t, s.log, `1`)
	f.wantPayload(`1`)
}

// A client that closed its side, as `printf … | nc` does, gets a farewell, and
// takes a part of the log for no whole.
func TestHalfClosedRequest(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		s := serve(t, nil, &sse.Options{Heartbeat: 100 * time.Millisecond})
		appendData(t, s.log, `1`)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "GET /?after=beginning HTTP/%s\r\nHost: a\r\n\r\n", version)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err == nil && !strings.Contains(string(body), "event: cdc.reconnect\n") {
			t.Errorf("HTTP/%s: the body ends well without a farewell: %q", version, body)
		}
	}
}

// failing is a ResponseWriter whose writes fail after some bytes, as that of a
// compressor may.
type failing struct {
	http.ResponseWriter
	room int
}

func (w *failing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *failing) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	_, _ = w.ResponseWriter.Write(p[:n])
	if n < len(p) {
		return n, errors.New("the compressor failed")
	}
	return n, nil
}

// A frame that was cut is not followed by what looks like a clean end.
func TestFailedWriteAbortsTheResponse(t *testing.T) {
	for _, proto := range []int{1, 2} {
		s := &server{log: memlog.New(nil)}
		handler, err := newHandler(s.log, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(&failing{w, 250}, r)
		}))
		s.EnableHTTP2 = true
		if proto == 2 {
			s.StartTLS()
		} else {
			s.Start()
		}
		appendData(t, s.log, `"`+strings.Repeat("x", 500)+`"`)
		response, cancel := s.get(t, "?after=beginning")
		body, err := io.ReadAll(response.Body)
		if err == nil || response.ProtoMajor != proto {
			t.Errorf("HTTP/%d: %d bytes and a clean end", response.ProtoMajor, len(body))
		}
		_ = response.Body.Close()
		cancel()
		_ = handler.Close()
		s.Close()
	}
}
