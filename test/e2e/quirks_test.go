package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// first is a block that every client takes; the retry makes it come back soon.
const first = "retry: 50\nid: 1\ndata: one\n\n"

// third follows what may fire a message or not.
const third = "id: 3\ndata: three\n\n"

// quirk is a stream that a client sees, and what its behaviour shows.
type quirk struct {
	name   string
	stream string // of the first response, after the first block
	end    func(w http.ResponseWriter)
	second func(w http.ResponseWriter, r *http.Request) // of the second response; nil is the marker
	show   func(seen) string
	want   map[string]string // by client; others must do as ""
}

// seen is what a client did in a quirk.
type seen struct {
	lines    []report.Line
	requests []string // Last-Event-ID of each, "-" without one
}

// messages are those that the client delivered between the first block and the marker.
func (s seen) messages() []report.Line {
	var between []report.Line
	for _, l := range s.lines {
		if l.Data != "one" && l.Data != "marker" && !strings.HasPrefix(l.Event, "#") {
			between = append(between, l)
		}
	}
	return between
}

func (s seen) closed() bool {
	for _, l := range s.lines {
		if l.Event == "#closed" {
			return true
		}
	}
	return false
}

// cut ends a response as a broken connection does.
func cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// finish ends a response as it should.
func finish(http.ResponseWriter) {}

func resumedAt(s seen) string {
	if s.closed() {
		return "gives up"
	}
	if s.requests[1] == "-" {
		return "resumes at the start"
	}
	return "resumes at " + s.requests[1]
}

func fires(s seen) string {
	for _, l := range s.messages() {
		if l.Data == "" {
			return "fires an empty message"
		}
	}
	return "fires nothing"
}

func comesBack(s seen) string {
	if s.closed() {
		return "gives up"
	}
	return "comes back"
}

var quirks = []quirk{
	{name: "`id:` block without data", stream: "id: 2\n\n", end: cut, show: resumedAt, want: map[string]string{"": "resumes at 2", eventsource: "resumes at 1", esClient: "resumes at 1"}},
	{name: "`: hb` and a blank line", stream: ": hb\n\n" + third, end: cut, show: fires, want: map[string]string{"": "fires nothing", fetchES: "fires an empty message", r3labs: "fires an empty message"}},
	{name: "`:` alone, the heartbeat", stream: ":\n" + third, end: cut, show: fires, want: map[string]string{"": "fires nothing"}},
	{name: "`retry:` block without data", stream: "retry: 50\n\n" + third, end: cut, show: fires, want: map[string]string{"": "fires an empty message", chromium: "fires nothing", eventsource: "fires nothing", esClient: "fires nothing"}},
	{name: "id reported for an event without one, after 1", stream: "data: two\n\n", end: cut, want: map[string]string{"": "has none", chromium: "has 1", gosse: "has 1", r3labs: "has 1"}, show: func(s seen) string {
		if m := s.messages(); len(m) == 1 && m[0].ID != "" {
			return "has " + m[0].ID
		}
		return "has none"
	}},
	{name: "503 on reconnect", end: cut, show: comesBack, want: map[string]string{"": "comes back", chromium: "gives up", eventsource: "gives up", gosse: "gives up"}, second: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	{name: "clean end of the body", end: finish, show: comesBack, want: map[string]string{"": "comes back", fetchES: "gives up", r3labs: "gives up"}},
	{name: "empty `id:`", stream: "id:\ndata: two\n\n", end: cut, show: resumedAt, want: map[string]string{"": "resumes at the start", r3labs: "resumes at 1"}},
	{name: "last block cut after its `id:` line", stream: "id: 2\ndata: tw", end: cut, want: map[string]string{"": "dropped", fetchES: "skipped: resumes at 2", r3labs: "delivered"}, show: dropped},
	{name: "last block without its blank line, clean end", stream: "id: 2\ndata: two\n", end: finish, want: map[string]string{"": "dropped", r3labs: "delivered"}, show: dropped},
}

func dropped(s seen) string {
	delivers, at := len(s.messages()) > 0, ""
	if len(s.requests) > 1 {
		at = s.requests[1]
	}
	switch {
	case delivers:
		return "delivered"
	case at == "2":
		return "skipped: resumes at 2"
	}
	return "dropped"
}

// overloadRow is the row of what Gapless answers instead of 503.
const overloadRow = "200, `cdc.reconnect` and the end"

// scene serves one quirk to one client.
type scene struct {
	quirk
	url string

	mu      sync.Mutex
	seen    seen
	done    chan struct{} // closed at the marker or when the client gave up
	stopped bool
}

func newScene(t *testing.T, q quirk) *scene {
	s := &scene{quirk: q, done: make(chan struct{})}
	server := httptest.NewServer(s)
	s.url = server.URL + "/stream"
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// ServeHTTP answers the requests one after the other.
func (s *scene) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "*")
	if r.URL.Path != "/stream" { // the page
		fmt.Fprintln(w, "ok")
		return
	}
	if r.Method == http.MethodOptions {
		return
	}
	s.mu.Lock()
	id, n := r.Header.Get("Last-Event-ID"), len(s.seen.requests)
	if id == "" {
		id = "-"
	}
	s.seen.requests = append(s.seen.requests, id)
	s.mu.Unlock()
	if n == 1 && s.second != nil {
		s.second(w, r)
		return
	}
	h.Set("Content-Type", "text/event-stream")
	if n == 0 {
		fmt.Fprint(w, first+s.stream)
		http.NewResponseController(w).Flush()
		s.end(w)
		return
	}
	fmt.Fprint(w, "id: 9\ndata: marker\n\n")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func (s *scene) line(l report.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.lines = append(s.seen.lines, l)
	if !s.stopped && (l.Data == "marker" || l.Event == "#closed") {
		s.stopped = true
		close(s.done)
	}
}

// result is what the client did, once it is over.
func (s *scene) result(t *testing.T) string {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Errorf("%s: neither the marker nor an end", s.name)
		return "silent"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.show(s.seen)
}

// Each client sees the streams that Gapless avoids, and the one that it sends
// instead. What they do is why frames are as they are; a client that changes
// its mind fails here.
func TestWhatClientsMakeOfAStream(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			t.Parallel()
			scenes := make([]*scene, len(quirks))
			urls := make([]string, len(quirks))
			for i, q := range quirks {
				scenes[i] = newScene(t, q)
				urls[i] = scenes[i].url
			}
			k.start(t, []string{"E2E_PLAIN=1"}, func(l report.Line) { scenes[l.N].line(l) }, urls...)
			for _, s := range scenes {
				want, ok := s.want[k.name]
				if !ok {
					want = s.want[""]
				}
				got := s.result(t)
				if got != want {
					t.Errorf("%s: it %s, want %s; requests %q, lines %+v", s.name, got, want, s.seen.requests, s.seen.lines)
				}
				observe(t, s.name, func(o *observations) { o.set(k.name, s.name, got) })
			}
		})
	}
}

// Overload and drain are 200, cdc.reconnect with a retry: and the end, which
// brings every client back. Checkpoints and heartbeats fire nothing empty, and
// a checkpoint moves every client's cursor.
func TestWhatGaplessSendsSuitsEveryClient(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			t.Parallel()
			log := memlog.New(nil)
			t.Cleanup(func() { log.Close() })
			options := &sse.Options{Retry: 50 * time.Millisecond, Heartbeat: 40 * time.Millisecond}
			live, drained := newHandler(t, log, options), newHandler(t, log, options)
			drained.Close()
			stage := &stage{t: t, live: live, drained: drained}
			server := httptest.NewServer(stage)
			t.Cleanup(func() {
				server.CloseClientConnections()
				server.Close()
			})
			add := func(topic string) { appendTo(t, log, topic) }
			for range 3 {
				add("mine")
			}
			k.start(t, nil, stage.line, server.URL+"/events?topic=mine&after=beginning")
			await(t, "the events", func() bool { return stage.count("") == 3 })
			add("other") // filtered: moves the cursor by a checkpoint
			await(t, "a checkpoint", func() bool { return stage.at() == 4 })
			stage.breakNext(server)
			await(t, "the client to come back after the overload", func() bool { return stage.requests() >= 3 })
			add("mine")
			await(t, "the last event", func() bool { return stage.count("") == 4 })
			stage.judge()
			observe(t, "overload", func(o *observations) { o.set(k.name, overloadRow, "comes back") })
		})
	}
}

func newHandler(t *testing.T, log cdc.Log, options *sse.Options) *sse.Handler {
	t.Helper()
	h, err := sse.NewHandler(log, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func appendTo(t *testing.T, log *memlog.Log, topic string) {
	t.Helper()
	if _, err := log.Append(context.Background(), cdc.Event{Topic: topic, Type: "tick", Data: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
}

// stage serves one client: the second request finds the server overloaded.
type stage struct {
	t             *testing.T
	live, drained *sse.Handler

	mu    sync.Mutex
	ids   []string // Last-Event-ID of each request
	lines []report.Line
}

// ServeHTTP serves the page and the stream.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/events" {
		fmt.Fprintln(w, "ok")
		return
	}
	s.mu.Lock()
	s.ids = append(s.ids, r.Header.Get("Last-Event-ID"))
	n := len(s.ids)
	s.mu.Unlock()
	if n == 2 {
		s.drained.ServeHTTP(w, r)
		return
	}
	s.live.ServeHTTP(w, r)
}

func (s *stage) line(l report.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
}

// count counts the lines of an event.
func (s *stage) count(event string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.lines {
		if l.Event == event {
			n++
		}
	}
	return n
}

// at is the seq of the last line.
func (s *stage) at() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.lines) - 1; i >= 0; i-- {
		if c, err := cdc.ParseCursor(s.lines[i].ID); err == nil {
			return c.Seq
		}
	}
	return 0
}

func (s *stage) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

func (s *stage) breakNext(server *httptest.Server) { server.CloseClientConnections() }

func (s *stage) judge() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, id := range s.ids[1:] {
		if c, err := cdc.ParseCursor(id); err != nil || c.Seq != 4 {
			s.t.Errorf("request %d resumes at %q, want the checkpoint at 4", i+2, id)
		}
	}
	var seqs []uint64
	for _, l := range s.lines {
		if strings.HasPrefix(l.Event, "#") {
			continue
		}
		c, err := cdc.ParseCursor(l.ID)
		if err != nil || l.Data == "" {
			s.t.Errorf("an empty message: %+v", l)
		}
		if l.Event == "" {
			seqs = append(seqs, c.Seq)
		}
	}
	if got, want := fmt.Sprint(seqs), "[1 2 3 5]"; got != want {
		s.t.Errorf("got events %s, want %s", got, want)
	}
}
