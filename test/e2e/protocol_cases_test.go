package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// spoken is a stream over one version of HTTP.
type spoken struct {
	t       *testing.T
	proto   string
	log     *memlog.Log
	handler *sse.Handler
	url     string
	client  *http.Client
}

// overEach runs the test with a stream over each version of HTTP.
func overEach(t *testing.T, options *sse.Options, wrap func(http.Handler) http.Handler, test func(*spoken)) {
	t.Helper()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			events := memlog.New(nil)
			s := &spoken{t: t, proto: p.name, log: events, handler: newHandler(t, events, options)}
			served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != p.name {
					t.Errorf("the client speaks %s", r.Proto)
				}
				wrap(s.handler).ServeHTTP(w, r)
			})
			s.url, s.client = p.serve(t, served, s.handler.ConnContext)
			test(s)
		})
	}
}

func unwrapped(h http.Handler) http.Handler { return h }

// append appends n events.
func (s *spoken) append(n int) {
	s.t.Helper()
	for i := range n {
		if _, err := s.log.Append(s.t.Context(), cdc.Event{Type: "t", Data: fmt.Appendf(nil, `{"n":%d}`, i)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// read reads frames until the function returns false.
func (s *spoken) read(query string, each func(report.Line) bool) error {
	return readStream(s.t.Context(), s.client, s.url+"/events"+query, each)
}

// awaitEnds waits until n streams have ended, all of them for the reason.
func (s *spoken) awaitEnds(reason sse.EndReason, n uint64) {
	s.t.Helper()
	await(s.t, fmt.Sprintf("%d ends for the reason %s", n, reason), func() bool {
		status := s.handler.Status()
		return status.Ended[reason] == n && status.Open == 0
	})
}

// A client that leaves after any event comes back and misses none; its stream
// is gone at once, and the next one does not wait for it.
func TestProtocolResume(t *testing.T) {
	overEach(t, &sse.Options{Heartbeat: 100 * time.Millisecond}, unwrapped, func(s *spoken) {
		const total = 12
		s.append(total)
		query := "?after=beginning"
		for seq := uint64(1); seq <= total; seq++ {
			var got cdc.Cursor
			err := s.read(query, func(l report.Line) bool {
				if l.Event == "" {
					got, _ = cdc.ParseCursor(l.ID)
					query = "?after=" + l.ID
				}
				return l.Event != ""
			})
			if err != nil || got.Seq != seq {
				s.t.Fatalf("got event %d (%v), want %d", got.Seq, err, seq)
			}
		}
		s.awaitEnds(sse.EndClient, total)
	})
}

// A silence is broken by heartbeats, and what is appended then comes at once.
func TestProtocolHeartbeat(t *testing.T) {
	options := &sse.Options{Heartbeat: 200 * time.Millisecond, Timeouts: sse.Timeouts{Write: 300 * time.Millisecond}}
	overEach(t, options, unwrapped, func(s *spoken) {
		beats := 0
		err := s.read("?heartbeat=event", func(l report.Line) bool {
			if l.Event == "cdc.checkpoint" {
				if beats++; beats == 5 {
					s.append(1)
				}
			}
			return l.Event != ""
		})
		if err != nil || beats < 5 {
			s.t.Errorf("%d heartbeats, then %v", beats, err)
		}
		s.awaitEnds(sse.EndClient, 1)
	})
}

// Drain, and a revocation, end streams with a farewell from which the client
// goes on, and a clean end.
func TestProtocolFarewell(t *testing.T) {
	overEach(t, nil, unwrapped, func(s *spoken) {
		s.append(1)
		end := func(how func(), reason sse.EndReason) {
			s.t.Helper()
			var last report.Line
			err := s.read("?after=beginning", func(l report.Line) bool {
				if last = l; l.Event == "cdc.live" {
					go how()
				}
				return true
			})
			if cursor, _ := cdc.ParseCursor(last.ID); last.Event != "cdc.reconnect" || cursor.Seq != 1 || !errors.Is(err, io.EOF) {
				s.t.Errorf("the last frame is %+v, the end %v; want cdc.reconnect at 1 and a clean end", last, err)
			}
			s.awaitEnds(reason, 1)
		}
		end(func() { s.handler.EndStreams(func(string) bool { return true }) }, sse.EndRevoked)
		end(func() { _ = s.handler.Drain(s.t.Context(), 0) }, sse.EndDrain)
	})
}

// breaking is a ResponseWriter whose writes fail after some bytes, as that of a
// compressor may.
type breaking struct {
	http.ResponseWriter
	room int
}

// Unwrap is for http.ResponseController.
func (w *breaking) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write passes on what there is room for.
func (w *breaking) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if _, err := w.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, errors.New("the compressor failed")
	}
	return n, nil
}

// No client takes a frame that was cut for a clean end, also where a middleware
// recovers from every panic.
func TestProtocolFailedWriteAborts(t *testing.T) {
	breaks := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&breaking{w, 250}, r) })
	}
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"alone":          breaks,
		"chi: Recoverer": func(h http.Handler) http.Handler { return middleware.Recoverer(breaks(h)) },
		"gin: Recovery":  func(h http.Handler) http.Handler { return inGin(gin.RecoveryWithWriter(io.Discard))(breaks(h)) },
		"negroni":        func(h http.Handler) http.Handler { return inNegroni(breaks(h)) },
		"RecoveryHandler": func(h http.Handler) http.Handler {
			return handlers.RecoveryHandler(handlers.RecoveryLogger(log.New(io.Discard, "", 0)))(breaks(h))
		},
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, nil, wrap, func(s *spoken) {
				if _, err := s.log.Append(t.Context(), cdc.Event{Data: []byte(`"` + strings.Repeat("x", 500) + `"`)}); err != nil {
					t.Fatal(err)
				}
				resp, err := s.client.Get(s.url + "/events?after=beginning")
				if err != nil {
					return // that is no clean end either
				}
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); err == nil {
					s.t.Errorf("%d bytes and a clean end", len(body))
				}
			})
		})
	}
}

// A client that does not read is cut, and when it reads at last, it learns that
// it did not get everything.
func TestProtocolWriteTimeout(t *testing.T) {
	overEach(t, &sse.Options{Timeouts: sse.Timeouts{Write: 300 * time.Millisecond}}, unwrapped, func(s *spoken) {
		resp, err := s.client.Get(s.url + "/events?after=beginning")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data := []byte(`"` + strings.Repeat("x", 500_000) + `"`)
		for range 40 {
			if _, err := s.log.Append(t.Context(), cdc.Event{Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the stream to end", func() bool {
			status := s.handler.Status()
			cut := status.Ended[sse.EndWriteTimeout]
			if s.proto == "HTTP/1.0" { // with ConnContext the kernel may be the first to give up
				cut += status.Ended[sse.EndClient]
			}
			return cut == 1 && status.Open == 0
		})
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			s.t.Errorf("%d bytes and a clean end", n)
		}
	})
}
