package remote_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// serveBehind serves a log of n events behind a hop, and counts connections.
func serveBehind(t *testing.T, n int, hop func(http.Handler) http.Handler) (url string, connections *atomic.Int32) {
	t.Helper()
	log := memlog.New(nil)
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Type: "x", Data: []byte(strconv.Itoa(i))}
	}
	if _, err := log.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	handler, err := sse.NewHandler(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	s := httptest.NewUnstartedServer(hop(handler))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(func() {
		_ = handler.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL, connections
}

func wantAll(t *testing.T, log cdc.Log, n int) {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil || b.Head != uint64(n) {
		t.Fatalf("bounds %+v, %v; want the head %d", b, err, n)
	}
	at, got := cdc.Cursor{Epoch: b.Epoch}, 0
	for {
		page, err := log.Read(t.Context(), at, 512)
		if err != nil {
			t.Fatal(err)
		}
		if page.Next == at.Seq {
			break
		}
		for _, e := range page.Events {
			if string(e.Data) != strconv.Itoa(got) {
				t.Fatalf("event %d is %s", got, e.Data)
			}
			got++
		}
		at.Seq = page.Next
	}
	if got != n {
		t.Errorf("%d events, want %d", got, n)
	}
}

// Pages follow each other on one connection.
func TestOneConnection(t *testing.T) {
	const n = 10240
	url, connections := serveBehind(t, n, func(h http.Handler) http.Handler { return h })
	wantAll(t, open(t, url, nil), n)
	if got := connections.Load(); got != 1 {
		t.Errorf("%d TCP connections, want 1", got)
	}
}

// A cache makes GET of HEAD, a router answers it with 405, and a proxy drops the
// headers that it does not know.
func TestHopsThatKnowNoHEAD(t *testing.T) {
	hops := map[string]func(http.Handler) http.Handler{
		"HEAD becomes GET": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					r.Method = http.MethodGet
				}
				next.ServeHTTP(w, r)
			})
		},
		"HEAD is refused": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		"headers are dropped": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header = http.Header{}
				next.ServeHTTP(&headerDropper{ResponseWriter: w}, r)
			})
		},
	}
	for name, hop := range hops {
		t.Run(name, func(t *testing.T) {
			url, _ := serveBehind(t, 700, hop)
			wantAll(t, open(t, url, nil), 700)
		})
	}
}

// headerDropper passes on the content type alone.
type headerDropper struct{ http.ResponseWriter }

func (w *headerDropper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *headerDropper) WriteHeader(status int) {
	for name := range w.Header() {
		if name != "Content-Type" {
			w.Header().Del(name)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}
