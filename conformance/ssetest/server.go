package ssetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// server is the handler under test on a connection of its own.
type server struct {
	t       *test
	address string
	open    atomic.Int64 // requests that are being served
}

// serve starts a server for the log.
func (t *test) serve(log cdc.Log) *server { return t.serveWith(t.h.Handler, log) }

func (t *test) serveWith(handlerOf func(context.Context, cdc.Log) (http.Handler, error), log cdc.Log) *server {
	handler, err := handlerOf(t.Ctx, log)
	if err != nil {
		t.StoreFailed("Harness.Handler", err)
	}
	t.CloseAtEnd(handler)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.StoreFailed("listen", err)
	}
	s := &server{t: t, address: listener.Addr().String()}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.open.Add(1)
		defer s.open.Add(-1)
		handler.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.AtEnd(func() error {
		err := server.Close()
		<-done
		return err
	})
	return s
}

// client is one connection.
type client struct {
	t      *test
	conn   net.Conn
	status int
	header http.Header
	body   io.Reader
	raw    []byte // everything that was received of the body
	used   int    // bytes of raw that were parsed
}

// get opens a stream; query begins with "?" or is empty.
func (s *server) get(query, lastEventID string) *client {
	s.t.Checked()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.StoreFailed("connect", err)
	}
	s.t.AtEnd(conn.Close)
	request := "GET /" + query + " HTTP/1.1\r\nHost: " + s.address + "\r\nAccept: text/event-stream\r\n"
	if lastEventID != "" {
		request += "Last-Event-ID: " + lastEventID + "\r\n"
	}
	s.t.Trace("GET /%s Last-Event-ID: %s", query, lastEventID)
	c := &client{t: s.t, conn: conn}
	_ = conn.SetDeadline(time.Now().Add(s.t.Settings.Patience))
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		s.t.StoreFailed("request", err)
	}
	if err := c.response(); err != nil {
		s.t.Fail(s.t.Subject.Guarantee, "no response to GET /%s within %v: %v (the headers have to be flushed at once)", query, s.t.Settings.Patience, err)
	}
	return c
}

func (c *client) close() { _ = c.conn.Close() }

// next returns the next frame.
func (c *client) next() (frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.t.Settings.Patience))
	for {
		f, n, ok := parseFrame(c.raw[c.used:])
		if ok {
			c.used += n
			c.t.Trace("frame %s", f)
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
	c.t.Checked()
	for {
		f, err := c.next()
		if err != nil {
			c.t.Fail(c.t.Subject.Guarantee, "%s did not come: %v", what, err)
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
