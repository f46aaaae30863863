package sse_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// wire notes what a handler does to the response below it.
type wire struct {
	http.ResponseWriter
	mu        sync.Mutex
	writes    []string
	deadlines int
}

func (w *wire) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.writes = append(w.writes, string(p))
	w.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

func (w *wire) SetWriteDeadline(at time.Time) error {
	w.mu.Lock()
	w.deadlines++
	w.mu.Unlock()
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(at)
}

func (w *wire) noted() (writes []string, deadlines int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes[:len(w.writes):len(w.writes)], w.deadlines
}

// serveWired is serve with one response at a time noted.
func serveWired(t *testing.T, opts *sse.Options) (*server, func() *wire) {
	t.Helper()
	log := memlog.New(nil)
	handler, err := newHandler(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	wires := make(chan *wire, 100)
	s := &server{handler: handler, log: log, Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &wire{ResponseWriter: w}
		wires <- noted
		handler.ServeHTTP(noted, r)
	}))}
	t.Cleanup(func() {
		_ = handler.Close()
		s.Close()
	})
	return s, func() *wire { return <-wires }
}

func TestFramesLeaveInPieces(t *testing.T) {
	s, next := serveWired(t, nil)
	small, large := make([]string, 3000), strconv.Quote(strings.Repeat("x", 1_000_000))
	for i := range small {
		small[i] = strconv.Itoa(i)
	}
	appendData(t, s.log, small...)
	appendData(t, s.log, large)
	f := s.follow(t, "?after=beginning")
	w := next()
	f.want("cdc.hello")
	for _, data := range append(small, large) {
		f.wantPayload(data)
	}
	f.want("cdc.live")
	writes, _ := w.noted()
	total, most := 0, 0
	for _, p := range writes {
		total, most = total+len(p), max(most, len(p))
	}
	if most > 64<<10 || len(writes) > 3*total/(64<<10)+10 {
		t.Errorf("%d bytes in %d writes of up to %d; want at most 64 KB each, and most of them full", total, len(writes), most)
	}
}

func TestDeadlineIsNotSetForEachWrite(t *testing.T) {
	s, next := serveWired(t, nil)
	f := s.follow(t, "")
	w := next()
	f.want("cdc.hello")
	f.want("cdc.live")
	const events = 300
	for i := range events {
		appendData(t, s.log, strconv.Itoa(i))
		f.wantPayload(strconv.Itoa(i))
	}
	if writes, deadlines := w.noted(); len(writes) < events || deadlines > len(writes)/20 {
		t.Errorf("%d deadlines for %d writes; want few: they cost more than a frame", deadlines, len(writes))
	}
}

func TestHelloAndResetAreOneWrite(t *testing.T) {
	s, next := serveWired(t, nil)
	f := s.follow(t, "?after=other.7")
	w := next()
	f.want("cdc.hello")
	f.want("cdc.reset")
	writes, _ := w.noted()
	if !slices.ContainsFunc(writes, func(p string) bool { return strings.Contains(p, "cdc.hello") && strings.Contains(p, "cdc.reset") }) {
		t.Errorf("the writes are %q", writes)
	}
}

// wantSpread checks that the numbers lie between least and most, and differ.
func wantSpread(t *testing.T, what string, numbers []float64, least, most float64) {
	t.Helper()
	seen := map[float64]bool{}
	for _, n := range numbers {
		seen[n] = true
		if n < least || n > most {
			t.Errorf("%s: %v, want %v to %v", what, n, least, most)
		}
	}
	if len(seen) < len(numbers)/2 {
		t.Errorf("%s: only %d different ones of %d", what, len(seen), len(numbers))
	}
}

func TestRetryIsJittered(t *testing.T) {
	s := serve(t, nil, &sse.Options{Retry: 10 * time.Second, Limits: sse.Limits{Streams: 40}})
	retry := func(f frame) float64 {
		n, err := strconv.ParseFloat(f.retry, 64)
		if err != nil {
			t.Errorf("retry of %+v: %v", f, err)
		}
		return n
	}
	var hello, overload, drain []float64
	var streams []*follower
	for range 40 {
		f := s.follow(t, "")
		hello = append(hello, retry(f.want("cdc.hello")))
		f.want("cdc.live")
		streams = append(streams, f)
	}
	for range 40 {
		f := s.follow(t, "")
		overload = append(overload, retry(f.want("cdc.reconnect")))
		f.wantEnd()
	}
	if err := s.handler.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range streams {
		drain = append(drain, retry(f.want("cdc.reconnect")))
		f.wantEnd()
	}
	wantSpread(t, "retry of hello in ms", hello, 5000, 15000)
	wantSpread(t, "retry at overload in ms", overload, 10000, 30000)
	wantSpread(t, "retry of drain in ms", drain, 5000, 15000)
}

// pipes is a listener whose connections are in memory, for virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestBeatsAndAgesAreJittered follows 40 streams in virtual time.
func TestBeatsAndAgesAreJittered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, err := newHandler(memlog.New(nil), &sse.Options{Heartbeat: 10 * time.Second, Limits: sse.Limits{Age: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		listener, hs := make(pipes), &http.Server{Handler: handler}
		go func() { _ = hs.Serve(listener) }()
		var mu sync.Mutex
		var beats, ages []float64
		var group sync.WaitGroup
		for range 40 {
			client, server := net.Pipe()
			listener <- server
			group.Go(func() {
				defer func() { _ = client.Close() }()
				stream := openRaw(t, client, "/")
				begin, beat := time.Now(), 0.0
				for {
					got, err := stream.next()
					if err != nil {
						t.Error(err)
						return
					}
					if got.comment && beat == 0 {
						beat = time.Since(begin).Seconds()
					}
					if got.name == "cdc.reconnect" {
						break
					}
				}
				mu.Lock()
				defer mu.Unlock()
				beats, ages = append(beats, beat), append(ages, time.Since(begin).Minutes())
			})
		}
		group.Wait()
		close(listener)
		_ = handler.Close()
		_ = hs.Close()
		wantSpread(t, "seconds to the first heartbeat", beats, 8, 10)
		wantSpread(t, "age in minutes", ages, 48, 60)
	})
}
