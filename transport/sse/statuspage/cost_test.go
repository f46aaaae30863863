package statuspage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// blocked is the connection of a client that has stopped reading.
type blocked struct {
	sink
	after   int // writes
	release chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		<-b.release
	}
	return len(p), nil
}

// sink is the connection of a client that takes everything.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) FlushError() error                { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// direct serves a client without a network.
func direct(ctx context.Context, handler http.Handler, w http.ResponseWriter, query string) {
	r := httptest.NewRequest(http.MethodGet, "/events?"+query, nil).WithContext(ctx)
	handler.ServeHTTP(w, r)
}

func TestLagOfAClientThatDoesNotRead(t *testing.T) {
	s := serve(t, &sse.Options{Hub: &cdc.HubOptions{TailEvents: 100}}, &statuspage.Options{Remote: true})
	s.append(1)
	s.follow(url.Values{"after": {"latest"}}, "cdc.live")
	stuck := &blocked{sink: sink{http.Header{}}, after: 3, release: make(chan struct{})} // hello, live, the first event
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { direct(ctx, s.handler, stuck, "after=latest") })
	defer running.Wait()
	defer close(stuck.release)
	defer cancel()
	s.await("both to be live", func(d data) bool { return d.Streams.Live == 2 })
	for n := range 3 {
		s.append(1)
		s.await("the event to be sent", func(d data) bool { return d.Sent.Events >= 2+n })
	}
	s.append(20)
	d := s.await("the lag", func(d data) bool { return d.Lag.Slowest.Events >= 20 && d.Lag.Behind == 1 })
	if w := d.List[0].Lag; *w != d.Lag.Slowest || w.AtLeast || w.Seconds <= 0 || w.Seconds > patience.Seconds() || d.List[0].Remote == "" {
		t.Errorf("got %+v and slowest %+v, want the stream that is behind first, with its address and the time since when", d.List[0], d.Lag.Slowest)
	}
	for range 40 {
		s.append(10)
	}
	d = s.await("the tail to leave it behind", func(d data) bool { return d.Lag.Slowest.Events >= 420 && d.Lag.Behind == 1 })
	if !d.Lag.Slowest.AtLeast || d.Lag.Slowest.Seconds <= 0 {
		t.Errorf("got %+v, want at least so many seconds", d.Lag.Slowest)
	}
}

// crowd is a handler with n clients that are live, without a network, until the
// test ends.
func crowd(t testing.TB, n int) *sse.Handler {
	t.Helper()
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = handler.Close()
		_ = log.Close()
	})
	for i := range n {
		query := url.Values{"topic": {fmt.Sprintf("%d", i), strings.Repeat("<ä>", 500)}}
		for k := range 100 {
			query.Add("key", fmt.Sprint(k))
		}
		running.Go(func() { direct(ctx, handler, &sink{http.Header{}}, query.Encode()) })
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		live := 0
		for s := range handler.Status().Streams() {
			if s.State == cdc.Live {
				live++
			}
		}
		if live == n {
			return handler
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams are live", live, n)
		}
	}
}

// TestTheCostIsBounded: however many streams there are, with however large
// filters, the answer is small and made at most twice a second.
func TestTheCostIsBounded(t *testing.T) {
	const n = 1500
	handler := crowd(t, n)
	page := statuspage.New(handler, nil)
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status?data", nil))
		return w
	}
	first := ask()
	size := first.Body.Len()
	d := decode(t, first.Body.Bytes())
	if d.Streams.Open != n || d.Streams.Live != n || len(d.List) != 50 {
		t.Errorf("got %d listed of %+v, want 50 of %d", len(d.List), d.Streams, n)
	}
	if got := d.List[0]; got.More != 94 || len([]rune(got.Topics[1])) != 81 {
		t.Errorf("a large filter is shown as %+v", got)
	}
	if size > 64<<10 {
		t.Errorf("the answer has %d bytes, want at most 64 KiB", size)
	}
	if cost := testing.AllocsPerRun(5, func() { ask() }); cost > 50 {
		t.Errorf("another browser of the same moment costs %v allocations, want the answer shared", cost)
	}
}

// BenchmarkTenThousandStreams is one answer, not shared.
func BenchmarkTenThousandStreams(b *testing.B) {
	handler := crowd(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		statuspage.New(handler, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status?data", nil))
	}
}
