package statuspage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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
	Verdict struct {
		Well  bool
		Needs []struct {
			About, Name, What, Do string
			Since                 *time.Time
		}
	}
	Log     logged
	Streams struct {
		Open, Max, Starting, Replaying, Live, Waiting, Opened int
		Draining                                              bool
		Ended, Refused                                        map[string]int
	}
	Sent struct{ Events, Replayed, Bytes int }
	Lag  *struct {
		Behind  int
		Median  uint64 `json:",string"`
		Slowest waits
	}
	Tail struct {
		Base, End                                                           string
		Events, Bytes, MaxEvents, MaxBytes, Followers, Hits, Misses, Errors int
	}
	Resets  map[string]int
	Workers *struct {
		Error string
		List  []struct {
			Name, State, Position, Head, Holder, Error string
			Parked                                     int
			Paused                                     bool
			Lag                                        *waits
		}
	}
	Errors struct {
		Count  int
		Recent []struct {
			Text  string
			Count int
			Past  bool
		}
	}
	List []struct {
		Remote, State, Position string
		Topics, Types, Keys     []string
		More, Events, Bytes     int
		Age                     float64
		Lag                     *waits
	}
}

// logged is what the tests read of the log.
type logged struct {
	Backend, State, Error, Epoch, Floor, Head, Behind string
	Since                                             time.Time
	Answered, Appended                                *time.Time
}

type waits struct {
	Events  uint64 `json:",string"`
	Seconds float64
	AtLeast bool
}

// site is a handler and its page on one server.
type site struct {
	*httptest.Server
	t       *testing.T
	log     cdc.Log
	handler *sse.Handler
}

func serve(t *testing.T, opts *sse.Options, page *statuspage.Options) *site {
	t.Helper()
	log := memlog.New(nil)
	t.Cleanup(func() { _ = log.Close() })
	return serveLog(t, log, opts, page)
}

// serveLog serves a log, which stays the caller's.
func serveLog(t *testing.T, log cdc.Log, opts *sse.Options, page *statuspage.Options) *site {
	t.Helper()
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
	})
	return s
}

func (s *site) append(n int) {
	s.t.Helper()
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Topic: "orders", Type: "order.created", Key: "o-1", Data: []byte(`{"total":7}`)}
	}
	if _, err := cdc.Append(s.t.Context(), s.log, events...); err != nil {
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
	s := serve(t, &sse.Options{Limits: sse.Limits{Streams: 3}, Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.URL.Query().Get("key") == "broken" {
			return sse.Grant{}, errors.New("users: connection refused")
		}
		return sse.Grant{Scope: sse.Everything()}, nil
	}}, nil)
	if d := s.await("the log to be reached", func(d data) bool { return d.Log.State == "reachable" }); d.Streams.Open != 0 || len(d.List) != 0 || d.Lag.Slowest.Events != 0 {
		t.Errorf("before any stream: got %+v", d)
	}
	s.append(2)
	end := s.follow(url.Values{"after": {"beginning"}}, "cdc.live")
	s.follow(url.Values{"topic": {"ord*", "a"}, "type": {"x"}, "key": {"1", "2", "3", "4", "5", "6", "7", "8"}}, "cdc.live")
	s.follow(url.Values{"after": {"epoch7.7"}, "token": {"s3cret"}}, "cdc.live")
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
	if strings.Join(second.Topics, " ") != "a ord*" || len(second.Types) != 1 || len(second.Keys) != 6 || second.More != 2 {
		t.Errorf("the filter: got %+v, want 6 of the 8 keys and 2 more", second)
	}
	_, body := s.get(http.MethodGet, "?data")
	for _, secret := range []string{"s3cret", "127.0.0.1", "epoch7"} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the answer has %q of a request: %s", secret, body)
		}
	}
	end()
	s.await("the end of a stream", func(d data) bool { return d.Streams.Ended["client"] == 1 && d.Streams.Open == 2 && d.Sent.Events == 8 })
}

// Of a request the page shows the filter, and nothing else that was in it.
func TestThePageShowsNothingOfRequestsButFilters(t *testing.T) {
	const secret = "s3cr3t"
	s := serve(t, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.Header.Get("Authorization") == "" {
			return sse.Grant{}, &sse.AccessError{Status: 401, Detail: secret}
		}
		return sse.Grant{Scope: sse.Everything(), User: secret}, nil
	}}, nil)
	s.append(3)
	for _, authorization := range []string{"", secret} {
		for _, query := range []string{"topic=orders", "after=" + secret + ".1", "lastEventId=" + secret + "!", "after=" + secret + "!", secret + "=1", "Topic=" + secret} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/events?token="+secret+"&"+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Authorization", "Cookie", "User-Agent", "Referer", "X-Forwarded-For"} {
				r.Header.Set(name, secret)
			}
			r.Header.Set("Authorization", authorization)
			response, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
		}
	}
	s.await("streams", func(d data) bool { return d.Streams.Live == 4 && d.Resets["malformed"] == 1 })
	for _, query := range []string{"", "?data"} {
		if _, body := s.get(http.MethodGet, query); strings.Contains(string(body), secret) {
			t.Errorf("%s shows what was in a request: %s", query, body)
		}
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
		{"GET", "?file=charts.js", 200, "text/javascript; charset=utf-8"},
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
