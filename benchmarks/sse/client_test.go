package sse_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// client reads a stream. It looks at as little of it as it can, since its own
// time is in all figures.
type client struct {
	conn net.Conn
	body io.Reader
	buf  []byte
	have int // bytes of an event that is not whole

	open     bool // an event has arrived
	next     int  // number of the event that should come
	got      int
	lost     int
	repeated int
	last     time.Time                 // of the last event
	seen     func(delay time.Duration) // may be nil

	record bool
	text   []byte // everything, if record is set
}

// connect asks for a stream. Some servers answer only with the first event, so
// this does not wait for the answer.
func connect(tb testing.TB, addr, path, id string) *client {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if id != "" {
		id = "Last-Event-ID: " + id + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, addr, id); err != nil {
		tb.Fatal(err)
	}
	return &client{conn: conn, buf: make([]byte, 64<<10)}
}

// until reads until the condition holds or the stream ends.
func (c *client) until(done func() bool) error {
	if c.body == nil {
		response, err := http.ReadResponse(bufio.NewReaderSize(c.conn, 64<<10), nil)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", response.Status)
		}
		c.body = response.Body
	}
	for !done() {
		n, err := c.body.Read(c.buf[c.have:])
		if c.record {
			c.text = append(c.text, c.buf[c.have:c.have+n]...)
		}
		c.take(c.have + n)
		if err != nil {
			return err
		}
	}
	return nil
}

// take counts the events in the first n bytes of buf.
func (c *client) take(n int) {
	text, now, before := c.buf[:n], time.Now(), c.got
	c.open = c.open || bytes.Contains(text, []byte(control.Opening))
	for {
		i := bytes.Index(text, []byte(control.Marker))
		if i < 0 {
			text = text[max(0, len(text)-control.EventBytes):] // room for either marker
			break
		}
		if text = text[i:]; len(text) < control.EventBytes {
			break
		}
		c.count(text[:control.EventBytes], now)
		text = text[control.EventBytes:]
	}
	if c.got > before {
		c.last = now
	}
	c.have = copy(c.buf, text)
}

func (c *client) count(event []byte, now time.Time) {
	n, at := control.Head(event)
	if n < c.next {
		c.repeated++
		return
	}
	c.lost += n - c.next
	c.next = n + 1
	c.got++
	if c.seen != nil {
		c.seen(now.Sub(at))
	}
}

// finish counts what did not come of all events.
func (c *client) finish(events int) {
	c.lost += events - c.next
	c.next = events
}

var lastID = regexp.MustCompile(`(?m)^id: ?(\S+)\r?$`)

// comeBack is how a client asks that has seen the text.
func (s *served) comeBack(seen []byte) (path, id string) {
	seen = seen[:bytes.LastIndex(seen, []byte("\n\n"))+1] // whole frames
	if s.Again != nil {
		return s.Again(seen)
	}
	if ids := lastID.FindAllSubmatch(seen, -1); len(ids) > 0 {
		id = string(ids[len(ids)-1][1])
	}
	return s.Path, id
}

// served is a server on a port.
type served struct {
	*peers.Server
	tb    testing.TB
	http  *http.Server
	addr  string
	first chan struct{} // closed when the first client's handler has returned
}

// serve opens a server that keeps so many events, with small buffers for the
// first client's connection if it is to stall.
func serve(tb testing.TB, l peers.Library, keep int, stall bool) *served {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	opened, err := l.Open(tb.TempDir(), keep)
	if err != nil {
		tb.Fatal(err)
	}
	s := &served{Server: opened, tb: tb, addr: listener.Addr().String(), first: make(chan struct{})}
	var once sync.Once
	s.http = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mine := false
		once.Do(func() { mine = true })
		if mine {
			defer close(s.first) // the handler may panic with http.ErrAbortHandler
		}
		s.ServeHTTP(w, r)
	})}
	if stall {
		listener = &stallListener{Listener: listener}
	}
	go func() { _ = s.http.Serve(listener) }()
	return s
}

// stop ends everything, the clients first: r3labs has goroutines that would
// otherwise stay.
func (s *served) stop(clients ...*client) {
	for _, c := range clients {
		_ = c.conn.Close()
	}
	within(s.http.Shutdown)
	_ = s.http.Close()
	s.Close()
}

// connectAll waits until every client gets events.
func (s *served) connectAll(clients ...*client) {
	s.tb.Helper()
	var wait sync.WaitGroup
	for _, c := range clients {
		wait.Go(func() {
			if err := c.until(func() bool { return c.open }); err != nil {
				s.tb.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wait.Wait()
		close(done)
	}()
	for n := 0; ; n++ {
		if err := s.Publish(control.Data(control.Opening, n, time.Now())); err != nil {
			s.tb.Fatal(err)
		}
		select {
		case <-done:
			if s.tb.Failed() {
				s.tb.FailNow()
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stallListener gives the first connection small buffers, so that a client
// which does not read is noticed within a second.
type stallListener struct {
	net.Listener
	once sync.Once
}

func (l *stallListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		l.once.Do(func() { _ = tcp.SetWriteBuffer(8 << 10) })
	}
	return conn, err
}

// median is for times, mean for what goes wrong in some turns only.
func median[T float64 | time.Duration](x []T) T {
	slices.Sort(x)
	return x[len(x)/2]
}

func mean(x []int) float64 {
	sum := 0
	for _, n := range x {
		sum += n
	}
	return float64(sum) / float64(len(x))
}

// within ends what might wait for a client that does not read.
func within(shutdown func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = shutdown(ctx)
}
