package sse_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// zipped opens a stream as gzip, whatever the environment says.
func (s *server) zipped(t testing.TB, query string) io.Reader {
	t.Helper()
	response, cancel := s.get(t, query, "Accept-Encoding", "gzip")
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = response.Body.Close() })
	if got := response.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("%s: status %d, Content-Encoding %q, want gzip", query, response.StatusCode, got)
	}
	body, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// randomEvents are events of all sizes, some of which cannot be compressed.
func randomEvents(r *rand.Rand, n int) []cdc.Event {
	events := make([]cdc.Event, n)
	for i := range events {
		size := r.IntN(300)
		if r.IntN(100) == 0 {
			size = r.IntN(150_000)
		}
		data := bytes.Repeat([]byte("again and "), size/10+1)
		if r.IntN(3) == 0 {
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		}
		events[i] = cdc.Event{Topic: string(rune('a' + r.IntN(3))), Type: "t", Key: fmt.Sprint(r.IntN(10)), Data: data}
	}
	return events
}

// varying is what differs between two streams of the same events: how soon the
// client comes back, and where the Hub has told of progress.
var varying = regexp.MustCompile(`(?m)^retry: \d+\n|^event: cdc.checkpoint\n.*\n.*\n\n`)

// Slices of a log have the same text when they are compressed, byte by byte,
// also where the ring keeps next to nothing.
func TestCompressedSlicesAreTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	log := memlog.New(nil)
	plain := serve(t, log, nil)
	compressed := []*server{
		serve(t, log, &sse.Options{Limits: sse.Limits{Compress: true}}),
		serve(t, log, &sse.Options{Limits: sse.Limits{Compress: true, FrameBytes: 1}}),
	}
	head := 0
	for range 25 {
		n := 1 + r.IntN(80)
		if _, err := log.Append(t.Context(), randomEvents(r, n)...); err != nil {
			t.Fatal(err)
		}
		head += n
		query := fmt.Sprintf("?after=%d&limit=%d", r.IntN(head), 1+r.IntN(400))
		query += []string{"", "&topic=a", "&key=3", "&topic=b&topic=c", "&data=exact"}[r.IntN(5)]
		response, cancel := plain.get(t, query, "Accept-Encoding", "identity")
		want := readAllText(t, response.Body)
		cancel()
		for _, s := range compressed {
			body := s.zipped(t, query)
			if got := readAllText(t, body); got != want {
				at := 0
				for at < min(len(got), len(want)) && got[at] == want[at] {
					at++
				}
				t.Fatalf("%s: got %d bytes, want %d; at %d got %.100q, want %.100q", query, len(got), len(want), at, got[at:], want[at:])
			}
		}
	}
}

func readAllText(t *testing.T, body io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return varying.ReplaceAllString(string(text), "")
}

// Streams that follow an appender get the same frames when they are compressed,
// each with the boundaries that its place in the log and its filter make.
func TestCompressedStreamsAreTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	log := memlog.New(nil)
	append1 := func(events ...cdc.Event) {
		if _, err := log.Append(t.Context(), events...); err != nil {
			t.Error(err)
		}
	}
	append1(randomEvents(r, 700)...)
	s := serve(t, log, &sse.Options{Limits: sse.Limits{Compress: true, Park: true, FrameBytes: 1 << (16 + r.IntN(6))}})
	plain := serve(t, log, nil)
	queries := []string{"?after=0", "?after=0&data=exact"}
	for range 10 {
		queries = append(queries, fmt.Sprintf("?after=%d&topic=end&", r.IntN(700))+[]string{"topic=a", "topic=*", "topic=b&topic=c"}[r.IntN(3)])
	}
	var group sync.WaitGroup
	got := make([][]frame, len(queries))
	for i, query := range queries {
		body := s.zipped(t, query)
		group.Go(func() { got[i] = framesUntilEnd(t, body) })
	}
	for range 40 {
		append1(randomEvents(r, 1+r.IntN(1+r.IntN(60)))...)
	}
	append1(cdc.Event{Topic: "end", Type: "t", Data: []byte(`"the end"`)})
	group.Wait()
	for i, query := range queries {
		response, cancel := plain.get(t, query, "Accept-Encoding", "identity")
		if want := framesUntilEnd(t, response.Body); !slices.Equal(got[i], want) {
			t.Errorf("%s: got %d frames, want %d that are the same", query, len(got[i]), len(want))
		}
		cancel()
	}
}

// framesUntilEnd are the frames of events up to the last event.
func framesUntilEnd(t *testing.T, body io.Reader) (events []frame) {
	p := newParser(body)
	for {
		f, err := p.next()
		if err != nil {
			t.Errorf("after %d events: %v", len(events), err)
			return events
		}
		if f.name == "" && !f.comment {
			events = append(events, f)
			if topic := f.event(t).Topic; topic == "end" {
				return events
			}
		}
	}
}

// An event arrives when it has happened, whatever its size and however it is
// served: none waits for what follows.
func TestCompressedEventsArriveAtOnce(t *testing.T) {
	log := memlog.New(nil)
	handler, err := newHandler(log, &sse.Options{Limits: sse.Limits{Compress: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handler.Close() }()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		server := httptest.NewUnstartedServer(handler)
		server.EnableHTTP2 = proto == "HTTP/2.0"
		if server.EnableHTTP2 {
			server.StartTLS()
		} else {
			server.Start()
		}
		defer server.Close()
		defer server.CloseClientConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if !response.Uncompressed || response.Proto != proto {
			t.Fatalf("%s, uncompressed by the client: %t; want %s and true", response.Proto, response.Uncompressed, proto)
		}
		f := &follower{parser: newParser(response.Body), t: t}
		f.want("cdc.hello")
		f.want("cdc.live")
		for _, size := range []int{1, 300, 5_000, 70_000, 1, 700_000, 20} {
			for _, data := range []string{`"` + strings.Repeat("x", size) + `"`, fmt.Sprintf("%q", base64Text(string(randomBytes(size))))} {
				appendData(t, log, data)
				f.wantPayload(data)
			}
		}
	}
	if st := handler.Status(); st.Compressed != 2 {
		t.Errorf("%d streams are counted as compressed, want 2", st.Compressed)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// Who takes gzip gets it, if the option is set and nobody else encodes.
func TestWhoIsCompressed(t *testing.T) {
	on := serve(t, nil, &sse.Options{Limits: sse.Limits{Compress: true}, Pages: sse.Pages{Size: 2}})
	off, err := sse.NewHandler(on.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = off.Close() }()
	epoch := appendData(t, on.log, "1", "2", "3").Cursor().Epoch
	headed := func(name, value string) http.HandlerFunc { // as a middleware does
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			on.handler.ServeHTTP(w, r)
		}
	}
	hidden := func(w http.ResponseWriter, r *http.Request) {
		on.handler.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}
	for name, test := range map[string]struct {
		handler                               http.HandlerFunc
		method, query, accept, encoding, vary string
	}{
		"gzip":             {on.handler.ServeHTTP, "GET", "?limit=1", "gzip", "gzip", "Accept-Encoding"},
		"a refusal":        {on.handler.ServeHTTP, "GET", "?limit=1", "gzip;q=0, *", "", "Accept-Encoding"},
		"nothing":          {on.handler.ServeHTTP, "GET", "?limit=1", "", "", "Accept-Encoding"},
		"off":              {off.ServeHTTP, "GET", "?limit=1", "gzip", "", ""},
		"encoded already":  {headed("Content-Encoding", "other"), "GET", "?limit=1", "gzip", "other", "Accept-Encoding"},
		"said to vary":     {headed("Vary", "Origin, Accept-Encoding"), "GET", "?limit=1", "gzip", "", "Origin, Accept-Encoding"},
		"cannot be served": {hidden, "GET", "?limit=1", "gzip", "", "Accept-Encoding"},
		"HEAD":             {on.handler.ServeHTTP, "HEAD", "", "gzip", "", "Accept-Encoding"},
		"a page":           {on.handler.ServeHTTP, "GET", "?logpage=" + epoch + ".0-2", "gzip", "", ""},
		"bounds":           {on.handler.ServeHTTP, "GET", "?bounds=only", "gzip", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/"+test.query, nil)
			r.Header.Set("Accept-Encoding", test.accept)
			response, text := answerTo(t, test.handler, r)
			if zipped := bytes.HasPrefix(text, []byte("\x1f\x8b")); zipped != (test.encoding == "gzip") {
				t.Errorf("the body is %q", text)
			}
			if got := response.Header.Get("Content-Encoding"); got != test.encoding {
				t.Errorf("Content-Encoding %q, want %q", got, test.encoding)
			}
			if got := response.Header.Get("Vary"); got != test.vary {
				t.Errorf("Vary %q, want %q", got, test.vary)
			}
		})
	}
}

// answerTo is the answer of the handler, served over HTTP/1.1.
func answerTo(t *testing.T, h http.Handler, r *http.Request) (response *http.Response, body []byte) {
	server := httptest.NewServer(h)
	defer server.Close()
	out, err := http.NewRequestWithContext(t.Context(), r.Method, server.URL+r.RequestURI, nil)
	if err != nil {
		t.Fatal(err)
	}
	out.Header = r.Header
	response, err = server.Client().Transport.RoundTrip(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response, body
}

// noting is a client that keeps where what is written to it lies.
type noting struct {
	sink
	wrote []*byte
}

func (n *noting) Write(p []byte) (int, error) {
	n.wrote = append(n.wrote, &p[0])
	return len(p), nil
}

// All streams write the same memory: it is compressed once.
func TestEventsAreCompressedOnce(t *testing.T) {
	log := memlog.New(nil)
	appendData(t, log, slices.Repeat([]string{`"some text"`}, 300)...)
	crowd := newCrowd(t, log, &sse.Options{Limits: sse.Limits{Compress: true}})
	flushed := make(chan struct{}, 100)
	clients := make([]*noting, 5)
	for i := range clients {
		clients[i] = &noting{sink: sink{http.Header{}, func() { flushed <- struct{}{} }}}
		crowd.group.Go(func() { crowd.follow(clients[i], "after=299", "gzip") })
	}
	for range len(clients) * 4 { // head, hello, an event and live
		<-flushed
	}
	appendData(t, log, `"more text"`)
	for range clients {
		<-flushed
	}
	crowd.leave()
	for _, c := range clients {
		for _, write := range []int{2, 4} { // the event and the one that came
			if c.wrote[write] != clients[0].wrote[write] {
				t.Errorf("write %d is made for one client alone", write)
			}
		}
	}
}
