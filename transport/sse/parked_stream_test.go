package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// awaitParked waits until n streams are parked.
func awaitParked(t *testing.T, h *sse.Handler, n int) {
	t.Helper()
	awaitStatus(t, h, fmt.Sprint(n, " parked streams"), func(st sse.Status) bool { return st.Parked == n })
}

// endings says for which reasons the streams of an Observer have ended.
type endings struct{ reasons chan sse.EndReason }

func (e *endings) observer() sse.Observer {
	e.reasons = make(chan sse.EndReason, 16)
	return sse.Observer{StreamEnded: func(s sse.StreamEnded) { e.reasons <- s.Reason }}
}

func TestParkedStreamEnds(t *testing.T) {
	soon := func(*http.Request) (sse.Grant, error) {
		return sse.Grant{Scope: sse.Everything(), Expires: time.Now().Add(700 * time.Millisecond)}, nil
	}
	tests := map[sse.EndReason]struct {
		opts sse.Options
		end  func(*server, *follower)
	}{
		sse.EndClient:  {sse.Options{}, func(_ *server, f *follower) { f.close() }},
		sse.EndExpired: {sse.Options{Authorize: soon}, func(*server, *follower) {}},
		sse.EndMaxAge:  {sse.Options{Limits: sse.Limits{Age: 700 * time.Millisecond}}, func(*server, *follower) {}},
		sse.EndRevoked: {sse.Options{}, func(s *server, _ *follower) { s.handler.EndStreams(func(string) bool { return true }) }},
		sse.EndDrain:   {sse.Options{}, func(s *server, _ *follower) { _ = s.handler.Close() }},
		sse.EndLog:     {sse.Options{}, func(s *server, _ *follower) { _ = s.handler.Hub().Close() }},
	}
	for reason, test := range tests {
		t.Run(string(reason), func(t *testing.T) {
			var told endings
			test.opts.Limits.Park, test.opts.Observer, test.opts.Heartbeat = true, told.observer(), time.Minute
			s := serve(t, nil, &test.opts)
			f := s.follow(t, "")
			f.want("cdc.hello")
			id := f.want("cdc.live").id
			awaitParked(t, s.handler, 1)
			test.end(s, f)
			select {
			case got := <-told.reasons:
				if got != reason {
					t.Errorf("the Observer is told %s, want %s", got, reason)
				}
			case <-time.After(5 * time.Second): // promised is one
				t.Fatal("the stream has not ended")
			}
			if reason != sse.EndClient {
				if got := f.want("cdc.reconnect"); got.id != id {
					t.Errorf("reconnect %+v, want the id %s", got, id)
				}
				f.wantEnd()
			}
			awaitStatus(t, s.handler, "the end", func(st sse.Status) bool { return st.Open == 0 && st.Ended[reason] == 1 && st.Parked == 0 })
		})
	}
}

// A stream that is parked sends the same bytes, after the same headers.
func TestParkedStreamOnTheWire(t *testing.T) {
	log := memlog.New(nil)
	appendData(t, log, `1`, `2`)
	var handlers [2]*sse.Handler
	var conns [2]net.Conn
	for i := range handlers {
		h, err := sse.NewHandler(log, &sse.Options{Limits: sse.Limits{Park: i == 1}, Heartbeat: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = h.Close() }()
		s := httptest.NewServer(h)
		defer s.Close()
		if conns[i], err = net.Dial("tcp", s.Listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conns[i], "GET /?after=beginning HTTP/1.1\r\nHost: a\r\n\r\n")
		handlers[i] = h
	}
	var texts [2]bytes.Buffer
	var seen [2]int // bytes, up to the end of the last marker
	both := func(marker string) {
		t.Helper()
		for i, conn := range conns {
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			seen[i] = readUntil(t, conn, &texts[i], seen[i], marker)
		}
	}
	both("cdc.live")
	both("2\r\n:\n\r\n") // a heartbeat
	appendData(t, log, `3`, `"`+strings.Repeat("x", 100_000)+`"`)
	appendData(t, log, `4`)
	both(`"data":4}`)
	if _, err := log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	both("cdc.reset")
	both("cdc.live")
	for _, h := range handlers {
		_ = h.Close()
	}
	both("\r\n0\r\n\r\n")
	if bare, parked := plain(texts[0].String()), plain(texts[1].String()); bare != parked {
		x := regexp.MustCompile(`x{100,}`)
		t.Errorf("parked:\n%s\nwithout:\n%s", x.ReplaceAllString(parked, "x…"), x.ReplaceAllString(bare, "x…"))
	}
}

// readUntil reads until the marker has come behind from, and returns its end.
func readUntil(t *testing.T, r io.Reader, text *bytes.Buffer, from int, marker string) int {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		if at := bytes.Index(text.Bytes()[from:], []byte(marker)); at >= 0 {
			return from + at + len(marker)
		}
		n, err := r.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v; want %q after %q", err, marker, text.String()[from:])
		}
	}
}

var changing = regexp.MustCompile(`Date: [^\r]*|retry: \d+|2\r\n:\n\r\n`)

// plain is what was received without what is different each time.
func plain(text string) string { return changing.ReplaceAllString(text, "") }

func TestStreamsThatCannotBeParked(t *testing.T) {
	wrap := map[string]func(http.Handler) http.Handler{
		"a writer with Unwrap": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&failing{w, 1 << 30}, r) })
		},
		"a writer that can be hijacked": func(next http.Handler) http.Handler {
			type writer interface {
				http.ResponseWriter
				http.Hijacker
				SetWriteDeadline(time.Time) error
				FlushError() error
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(struct{ writer }{w.(writer)}, r) })
		},
		"a deadline": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
				defer cancel()
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		},
	}
	for name, wrap := range wrap {
		t.Run(name, func(t *testing.T) {
			log := memlog.New(nil)
			h, err := sse.NewHandler(log, &sse.Options{Limits: sse.Limits{Park: true}, Heartbeat: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			s := &server{Server: httptest.NewServer(wrap(h)), handler: h, log: log}
			defer s.Close()
			defer func() { _ = h.Close() }()
			f := s.follow(t, "")
			f.want("cdc.hello")
			f.want("cdc.live")
			if got, err := f.next(); err != nil || !got.comment {
				t.Fatalf("%+v, %v; want a heartbeat", got, err)
			}
			appendData(t, log, `1`)
			f.wantPayload(`1`)
			if st := h.Status(); st.Parked != 0 || st.Unparkable != 1 {
				t.Errorf("%d streams are parked and %d cannot be, want 0 and 1", st.Parked, st.Unparkable)
			}
		})
	}
}

// What a client sends behind its request is ignored.
func TestParkedClientSends(t *testing.T) {
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Park: true}})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p := newParser(&lazyBody{conn: conn})
	junk := strings.Repeat("GET / HTTP/1.1\r\n", 1000)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n%s", junk)
	f := &follower{parser: p, t: t}
	f.want("cdc.hello")
	f.want("cdc.live")
	awaitParked(t, s.handler, 1)
	fmt.Fprint(conn, junk)
	appendData(t, s.log, `1`)
	f.wantPayload(`1`)
	awaitParked(t, s.handler, 1)
	_ = conn.Close()
	awaitStatus(t, s.handler, "the end", func(st sse.Status) bool { return st.Ended[sse.EndClient] == 1 })
}

// A client that does not read holds up nobody, and is ended.
func TestParkedSlowClient(t *testing.T) {
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Park: true}, Timeouts: sse.Timeouts{Write: 500 * time.Millisecond}})
	slow, quick := s.follow(t, ""), s.follow(t, "")
	for _, f := range []*follower{slow, quick} {
		f.want("cdc.hello")
		f.want("cdc.live")
	}
	awaitParked(t, s.handler, 2)
	payload := `"` + strings.Repeat("x", 500_000) + `"`
	for range 24 {
		appendData(t, s.log, payload)
		quick.wantPayload(payload)
	}
	awaitStatus(t, s.handler, "the slow client's end", func(st sse.Status) bool { return st.Ended[sse.EndWriteTimeout] == 1 && st.Parked == 1 })
	if _, err := io.Copy(io.Discard, slow.response.Body); err == nil {
		t.Error("the slow client's stream ends as if all had been sent")
	}
}

// TestParkedBurst sends bursts to many parked streams, each of which gets
// exactly the log.
func TestParkedBurst(t *testing.T) {
	const clients, bursts, burst = 1000, 5, 20
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Park: true, Streams: clients}})
	var live, ended sync.WaitGroup
	live.Add(clients)
	for range clients {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		ended.Go(func() {
			stream := openRaw(t, conn, "/?after=beginning")
			ready := sync.OnceFunc(live.Done)
			defer ready()
			for at := uint64(0); at < bursts*burst; {
				f, err := stream.next()
				switch {
				case err != nil:
					t.Error(err)
					return
				case f.name == "cdc.live":
					ready()
				case f.name == "" && !f.comment:
					if at++; cursorOf(t, f.id).Seq != at {
						t.Errorf("event %s, want %d", f.id, at)
					}
				}
			}
		})
	}
	live.Wait()
	for n := range bursts {
		awaitParked(t, s.handler, clients)
		if n == 0 {
			wantStatusOver(t, s)
		}
		data := make([]string, burst)
		for i := range data {
			data[i] = strconv.Itoa(n*burst + i)
		}
		appendData(t, s.log, data...)
	}
	ended.Wait()
}

// wantStatusOver expects that the limit of streams is reached.
func wantStatusOver(t *testing.T, s *server) {
	t.Helper()
	f := s.follow(t, "")
	f.want("cdc.reconnect")
	f.wantEnd()
	if st := s.handler.Status(); st.Refused[sse.EndOverload] != 1 {
		t.Errorf("refused: %v, want one for overload", st.Refused)
	}
}

// TestParkedRace lets events, heartbeats, leaving clients and the end of the
// server meet.
func TestParkedRace(t *testing.T) {
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Park: true}, Heartbeat: 3 * time.Millisecond})
	var clients sync.WaitGroup
	var over atomic.Bool
	var received atomic.Int64
	for i := range 30 {
		clients.Go(func() {
			for n := i; !over.Load(); n++ {
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					return
				}
				stream := openRaw(t, conn, "/?after=beginning")
				for at := uint64(0); at < uint64(n%50); {
					f, err := stream.next()
					if err != nil {
						break
					}
					if f.name == "" && !f.comment {
						if at++; cursorOf(t, f.id).Seq != at {
							t.Errorf("event %s, want %d", f.id, at)
						}
						received.Add(1)
					}
				}
				_ = conn.Close()
			}
		})
	}
	for n := range 300 {
		appendData(t, s.log, strconv.Itoa(n))
		time.Sleep(3 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.handler.Drain(ctx, 100*time.Millisecond); err != nil {
		t.Error(err)
	}
	over.Store(true)
	_ = s.handler.Close()
	clients.Wait()
	if st := s.handler.Status(); st.Open != 0 || received.Load() == 0 {
		t.Errorf("%d streams are open, %d events were received", st.Open, received.Load())
	}
	awaitFollowers(t, s.handler.Hub())
}

// awaitFollowers waits until nobody holds a place in the Hub.
func awaitFollowers(t *testing.T, hub *cdc.Hub) {
	t.Helper()
	for begun := time.Now(); hub.Status().Followers > 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d followers are left", hub.Status().Followers)
		}
	}
}
