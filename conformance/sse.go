package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// SSEHarness says how to reach a handler of server-sent events.
type SSEHarness struct {
	// Log makes the logs that are streamed.
	Log Harness

	// Handler streams the log. A handler that is an [io.Closer] is closed when
	// the case ends.
	Handler func(ctx context.Context, log cdc.Log) (http.Handler, error)

	// Payload returns the payload of an event's frame, to be compared with what
	// was appended. nil means the JSON envelope of Gapless: its fields data and
	// dataBase64.
	Payload func(data string) ([]byte, error)

	// Heartbeat and WriteTimeout are what the handler was set to; 0 skips the
	// cases that wait for them. Make both short.
	Heartbeat, WriteTimeout time.Duration
}

// SSECases returns every case for handlers of server-sent events, those of a
// guarantee together.
func SSECases() []Case {
	cases := slices.Concat(sseStreamCases(), sseResumeCases(), sseFrameCases())
	order := verify.Guarantees()
	slices.SortStableFunc(cases, func(a, b Case) int {
		return slices.Index(order, a.Guarantee) - slices.Index(order, b.Guarantee)
	})
	return cases
}

// RunSSE runs the cases for a handler, each a subtest, over real connections
// to a server on the loopback interface.
func RunSSE(t *testing.T, h SSEHarness) {
	t.Helper()
	o := (&Options{Seed: seedFromEnv(t)}).filled()
	tree(t, SSECases(), func(t *testing.T, c Case) {
		o := o
		o.Dir = t.TempDir()
		tr := newTrial(t.Context(), c, h.Log, o)
		tr.sse = h
		verdict(t, tr.watch())
	})
}

// CheckSSE is [RunSSE] without a testing.T.
func CheckSSE(ctx context.Context, h SSEHarness, opts *Options) Report {
	return check(ctx, opts, SSECases(), func(ctx context.Context, c Case, o Options) Result {
		t := newTrial(ctx, c, h.Log, o)
		t.sse = h
		return t.watch()
	})
}

// server is the handler under test on a connection of its own.
type server struct {
	t       *trial
	address string
	open    atomic.Int64 // requests that are being served
}

// serve starts a server for the log.
func (t *trial) serve(log handle) *server {
	handler, err := t.sse.Handler(t.ctx, log.Log)
	if err != nil {
		t.broken("SSEHarness.Handler", err)
	}
	if c, ok := handler.(io.Closer); ok {
		t.closers = append(t.closers, c.Close)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.broken("listen", err)
	}
	s := &server{t: t, address: listener.Addr().String()}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.open.Add(1)
		defer s.open.Add(-1)
		handler.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.closers = append(t.closers, func() error {
		err := server.Close()
		<-done
		return err
	})
	return s
}

// client is one connection.
type client struct {
	t      *trial
	conn   net.Conn
	status int
	header http.Header
	body   io.Reader
	raw    []byte // everything that was received of the body
	used   int    // bytes of raw that were parsed
}

// get opens a stream; query begins with "?" or is empty.
func (s *server) get(query, lastEventID string) *client {
	s.t.looked()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.broken("connect", err)
	}
	s.t.closers = append(s.t.closers, conn.Close)
	request := "GET /" + query + " HTTP/1.1\r\nHost: " + s.address + "\r\nAccept: text/event-stream\r\n"
	if lastEventID != "" {
		request += "Last-Event-ID: " + lastEventID + "\r\n"
	}
	s.t.trace.add("GET /%s Last-Event-ID: %s", query, lastEventID)
	c := &client{t: s.t, conn: conn}
	_ = conn.SetDeadline(time.Now().Add(s.t.opts.Patience))
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		s.t.broken("request", err)
	}
	if err := c.response(); err != nil {
		s.t.fail(s.t.c.Guarantee, "no response to GET /%s within %v: %v (the headers have to be flushed at once)", query, s.t.opts.Patience, err)
	}
	return c
}

func (c *client) close() { _ = c.conn.Close() }

// next returns the next frame.
func (c *client) next() (frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.t.opts.Patience))
	for {
		f, n, ok := parseFrame(c.raw[c.used:])
		if ok {
			c.used += n
			c.t.trace.add("frame %s", f)
			return f, nil
		}
		room := make([]byte, 32<<10)
		n, err := c.body.Read(room)
		c.raw = append(c.raw, room[:n]...)
		if err != nil && n == 0 {
			return frame{}, err
		}
	}
}

// expect returns the next frame for which ok returns true, and all before it.
func (c *client) expect(what string, ok func(frame) bool) (before []frame, found frame) {
	c.t.looked()
	for {
		f, err := c.next()
		if err != nil {
			c.t.fail(c.t.c.Guarantee, "%s did not come: %v", what, err)
		}
		if ok(f) {
			return before, f
		}
		before = append(before, f)
	}
}

// through returns every event up to the one with the seq.
func (c *client) through(seq uint64) []received {
	var events []received
	for {
		_, f := c.expect(fmt.Sprintf("event %d", seq), func(f frame) bool { return f.isEvent() })
		e := c.t.receive(f)
		events = append(events, e)
		if e.cursor.Seq >= seq {
			return events
		}
	}
}
