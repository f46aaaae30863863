package statuspage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/leaktest"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience is how long anything may take before a test gives up on it.
const patience = 30 * time.Second

// data is what the tests read of the answer to ?data.
type data struct {
	Log     string
	Streams struct {
		Open, Starting, Replaying, Live, Opened int
		Ended, Refused                          map[string]int
	}
	Sent struct{ Events, Replayed, Bytes int }
	Lag  struct {
		Behind, Median int
		Slowest        waits
	}
	Tail struct {
		Base, End                                                           string
		Events, Bytes, MaxEvents, MaxBytes, Followers, Hits, Misses, Errors int
	}
	Resets map[string]int
	Errors struct {
		Count  int
		Recent []struct {
			Text  string
			Count int
		}
	}
	List []struct {
		Remote, State, Position string
		Topics, Types, Keys     []string
		More, Events, Bytes     int
		Age                     float64
		Lag                     waits
	}
}

type waits struct {
	Events  int
	Seconds float64
	AtLeast bool
}

// site is a handler and its page on one server.
type site struct {
	*httptest.Server
	t       *testing.T
	log     *memlog.Log
	handler *sse.Handler
}

func serve(t *testing.T, opts *sse.Options, page *statuspage.Options) *site {
	t.Helper()
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/events", handler)
	mux.Handle("/some/where", statuspage.New(handler, page))
	s := &site{Server: httptest.NewServer(mux), t: t, log: log, handler: handler}
	t.Cleanup(func() {
		_ = handler.Close()
		s.CloseClientConnections()
		s.Close()
		s.Client().CloseIdleConnections()
		_ = log.Close()
	})
	return s
}

func (s *site) append(n int) {
	s.t.Helper()
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Topic: "orders", Type: "order.created", Key: "o-1", Data: []byte(`{"total":7}`)}
	}
	if _, err := s.log.Append(s.t.Context(), events...); err != nil {
		s.t.Fatal(err)
	}
}

// follow opens a stream and reads it up to the frame of that name, or the end.
// What it returns ends the stream.
func (s *site) follow(query url.Values, until string) (end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/events?"+query.Encode(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if lines.Text() == "event: "+until {
			break
		}
	}
	return func() {
		cancel()
		_ = response.Body.Close()
	}
}

func (s *site) get(method, query string) (*http.Response, []byte) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+"/some/where"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, body
}

func (s *site) data() data {
	s.t.Helper()
	_, body := s.get(http.MethodGet, "?data")
	return decode(s.t, body)
}

func decode(t *testing.T, body []byte) data {
	t.Helper()
	var d data
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%v in %.500s", err, body)
	}
	return d
}

// await polls, as the page does, until the answer is as it should be.
func (s *site) await(what string, done func(data) bool) data {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		d := s.data()
		if done(d) {
			return d
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %v for %s: %+v", patience, what, d)
		}
	}
}

func TestTheFigures(t *testing.T) {
	s := serve(t, &sse.Options{MaxStreams: 3, Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.URL.Query().Get("key") == "broken" {
			return sse.Grant{}, errors.New("users: connection refused")
		}
		return sse.Grant{}, nil
	}}, nil)
	if d := s.await("the log to be reached", func(d data) bool { return d.Log != "" }); d.Streams.Open != 0 || len(d.List) != 0 || d.Lag.Slowest.Events != 0 {
		t.Errorf("before any stream: got %+v", d)
	}
	s.append(2)
	end := s.follow(url.Values{"after": {"beginning"}}, "cdc.live")
	s.follow(url.Values{"topic": {"ord*", "a"}, "type": {"x"}, "key": {"1", "2", "3", "4", "5", "6", "7", "8"}}, "cdc.live")
	s.follow(url.Values{"after": {"other.7"}, "token": {"s3cret"}}, "cdc.live")
	s.follow(nil, "cdc.reconnect")
	s.follow(url.Values{"key": {"broken"}}, "none")
	s.append(3)

	d := s.await("everything to be sent", func(d data) bool {
		return d.Sent.Events == 2+3+3 && d.Streams.Live == 3 && d.Lag.Behind == 0 && d.Tail.End == "5"
	})
	if d.Streams.Open != 3 || d.Streams.Opened != 3 || d.Streams.Replaying != 0 || d.Streams.Starting != 0 || d.Streams.Refused["overload"] != 1 {
		t.Errorf("streams: got %+v, want 3 open and one turned away", d.Streams)
	}
	if d.Sent.Replayed != 2 || d.Sent.Bytes < 500 || d.Resets["foreign"] != 1 || d.Errors.Count != 1 || d.Errors.Recent[0].Text != "users: connection refused" {
		t.Errorf("got sent %+v, resets %v, errors %+v", d.Sent, d.Resets, d.Errors)
	}
	if d.Tail.Followers != 3 || d.Tail.MaxEvents != 8192 || d.Tail.Events == 0 || d.Tail.Hits == 0 || d.Tail.Misses == 0 {
		t.Errorf("tail: got %+v", d.Tail)
	}
	first, second := d.List[0], d.List[1]
	if first.Position != "5" || first.State != "live" || first.Events != 5 || first.Age <= 0 || first.More != 0 {
		t.Errorf("the oldest stream: got %+v", first)
	}
	if strings.Join(second.Topics, " ") != "ord* a" || len(second.Types) != 1 || len(second.Keys) != 6 || second.More != 2 {
		t.Errorf("the filter: got %+v, want 6 of the 8 keys and 2 more", second)
	}
	_, body := s.get(http.MethodGet, "?data")
	for _, secret := range []string{"s3cret", "127.0.0.1", "other"} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the answer has %q of a request: %s", secret, body)
		}
	}
	end()
	s.await("the end of a stream", func(d data) bool { return d.Streams.Ended["client"] == 1 && d.Streams.Open == 2 && d.Sent.Events == 8 })
}

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
	if w := d.List[0].Lag; w != d.Lag.Slowest || w.AtLeast || w.Seconds <= 0 || w.Seconds > patience.Seconds() || d.List[0].Remote == "" {
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

func TestItOnlyAnswersReadsAndOnlyWithItsOwn(t *testing.T) {
	s := serve(t, nil, &statuspage.Options{Title: `<script>alert(1)</script>`})
	for _, c := range []struct {
		method, query string
		status        int
		contentType   string
	}{
		{"GET", "", 200, "text/html; charset=utf-8"},
		{"HEAD", "", 200, "text/html; charset=utf-8"},
		{"GET", "?utm=1", 200, "text/html; charset=utf-8"},
		{"GET", "?data", 200, "application/json"},
		{"HEAD", "?data", 200, "application/json"},
		{"GET", "?file=page.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "?file=page.css", 200, "text/css; charset=utf-8"},
		{"GET", "?file=icon.svg", 200, "image/svg+xml"},
		{"GET", "?file=index.html", 404, "text/plain; charset=utf-8"},
		{"GET", "?file=../statuspage.go", 404, "text/plain; charset=utf-8"},
		{"GET", "?file=", 404, "text/plain; charset=utf-8"},
		{"POST", "", 405, "text/plain; charset=utf-8"},
		{"DELETE", "?data", 405, "text/plain; charset=utf-8"},
		{"OPTIONS", "?data", 405, "text/plain; charset=utf-8"},
	} {
		response, body := s.get(c.method, c.query)
		h := response.Header
		if response.StatusCode != c.status || h.Get("Content-Type") != c.contentType {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.query, response.StatusCode, h.Get("Content-Type"), c.status, c.contentType)
		}
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(h.Get("Cache-Control"), "no-") {
			t.Errorf("%s %s: headers %v", c.method, c.query, h)
		}
		if text := string(body); strings.Contains(text, "<script>alert") || strings.Contains(text, "http://") && !strings.Contains(text, "www.w3.org") {
			t.Errorf("%s %s: the page has what is not its own: %.300s", c.method, c.query, text)
		}
	}
}

// open serves n clients without a network, until the context ends, and
// returns when all are live.
func open(ctx context.Context, t testing.TB, handler *sse.Handler, n int, running *sync.WaitGroup) {
	t.Helper()
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
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams are live", live, n)
		}
	}
}

// TestTheCostIsBounded: however many streams there are, with however large
// filters, the answer is small and made at most twice a second.
func TestTheCostIsBounded(t *testing.T) {
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		_ = handler.Close()
		_ = log.Close()
	}()
	const n = 1500
	open(ctx, t, handler, n, &running)
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
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		_ = handler.Close()
		_ = log.Close()
	}()
	open(ctx, b, handler, 10_000, &running)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		statuspage.New(handler, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status?data", nil))
	}
}
