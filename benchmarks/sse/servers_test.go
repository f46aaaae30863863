package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// library is one way to serve events.
type library struct {
	name string
	open func(tb testing.TB, keep int) *server
}

// server keeps the newest events for clients that come back, as many as it was
// opened with.
type server struct {
	http.Handler
	path    string
	publish func(data ...[]byte) error
	trim    func() error                        // nil where publish does it
	again   func(seen []byte) (path, id string) // nil means by Last-Event-ID
	told    func(got []byte) (missed bool)      // nil where nothing can tell
	close   func()
}

var (
	bareLibrary     = library{"bare", func(testing.TB, int) *server { return openBare(false) }}
	bareEach        = library{"bare-flush-each", func(testing.TB, int) *server { return openBare(true) }}
	gapless         = library{"gapless", func(tb testing.TB, keep int) *server { return openMem(tb, keep, sse.Payload) }}
	gaplessEnvelope = library{"gapless-envelope", func(tb testing.TB, keep int) *server { return openMem(tb, keep, sse.Envelope) }}
	gaplessBolt     = library{"gapless-bolt", openBolt}
	goSSE           = library{"go-sse", openGoSSE}
	goSSEValid      = library{"go-sse-valid", openGoSSEValid}
	r3labsSSE       = library{"r3labs", openR3labs}
	launchDarkly    = library{"launchdarkly", openLaunchDarkly}
	centrifugeNode  = library{"centrifuge", func(tb testing.TB, keep int) *server { return openCentrifuge(tb, keep, 0) }}
	centrifugeQueue = library{"centrifuge-queue-64MiB", func(tb testing.TB, keep int) *server { return openCentrifuge(tb, keep, 64<<20) }}
)

func openMem(tb testing.TB, keep int, encoder sse.Encoder) *server {
	return openGapless(tb, memlog.New(nil), keep, encoder)
}

func openBolt(tb testing.TB, keep int) *server {
	log, err := boltlog.OpenFile(tb.Context(), filepath.Join(tb.TempDir(), "log.db"), "events", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return openGapless(tb, log, keep, sse.Payload)
}

func openGapless(tb testing.TB, log interface {
	cdc.Log
	cdc.Appender
	Close() error
}, keep int, encoder sse.Encoder,
) *server {
	handler, err := sse.NewHandler(log, &sse.Options{Encoder: encoder, Replay: sse.Replay{ResetTo: cdc.ResetToFloor}, Timeouts: sse.Timeouts{Write: writeTimeout}})
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.WithoutCancel(tb.Context())
	return &server{
		Handler: handler,
		publish: func(data ...[]byte) error {
			events := make([]cdc.Event, len(data))
			for i, d := range data {
				events[i].Data = d
			}
			_, err := log.Append(ctx, events...)
			return err
		},
		trim: func() error {
			b, err := log.Bounds(ctx)
			if err == nil && b.Head > uint64(keep) {
				_, err = cdc.Trim(ctx, log, b.Head-uint64(keep))
			}
			return err
		},
		told: func(got []byte) bool { return bytes.Contains(got, []byte("event: cdc.reset\n")) },
		close: func() {
			_ = handler.Close()
			_ = log.Close()
		},
	}
}

func openGoSSE(tb testing.TB, keep int) *server {
	replayer, err := gosse.NewFiniteReplayer(keep, true)
	if err != nil {
		tb.Fatal(err)
	}
	return serveGoSSE(replayer)
}

func openGoSSEValid(tb testing.TB, _ int) *server {
	replayer, err := gosse.NewValidReplayer(time.Hour, true)
	if err != nil {
		tb.Fatal(err)
	}
	return serveGoSSE(replayer)
}

func serveGoSSE(replayer gosse.Replayer) *server {
	s := &gosse.Server{Provider: &gosse.Joe{Replayer: replayer}}
	return &server{
		Handler: s,
		publish: func(data ...[]byte) error {
			for _, d := range data {
				var m gosse.Message
				m.AppendData(string(d))
				if err := s.Publish(&m); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() { within(s.Shutdown) },
	}
}

func openR3labs(testing.TB, int) *server {
	s := r3labs.New()
	s.CreateStream("x")
	return &server{
		Handler: s,
		path:    "?stream=x",
		publish: func(data ...[]byte) error {
			for _, d := range data {
				s.Publish("x", &r3labs.Event{Data: d})
			}
			return nil
		},
		close: s.Close,
	}
}

// numbered is an event of launchdarkly. Its repository compares ids as texts.
type numbered struct{ id, data string }

func (e numbered) Id() string    { return e.id } //nolint:revive,staticcheck // the name is theirs
func (e numbered) Event() string { return "" }
func (e numbered) Data() string  { return e.data }

func openLaunchDarkly(testing.TB, int) *server {
	s := eventsource.NewServer()
	repository := eventsource.NewSliceRepository()
	s.Register("x", repository)
	n := 0
	return &server{
		Handler: s.Handler("x"),
		publish: func(data ...[]byte) error {
			for _, d := range data {
				e := numbered{fmt.Sprintf("%08d", n), string(d)}
				n++
				repository.Add("x", e) // first, so that a client which comes back misses none
				s.Publish([]string{"x"}, e)
			}
			return nil
		},
		close: s.Close,
	}
}

var (
	centrifugeEpoch  = regexp.MustCompile(`"epoch":"(\w+)"`)
	centrifugeOffset = regexp.MustCompile(`"offset":(\d+)`)
)

// openCentrifuge subscribes each client by the server. The client sends one
// command, in the URL.
func openCentrifuge(tb testing.TB, keep, queue int) *server {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: queue})
	if err != nil {
		tb.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "x"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"x": {EnableRecovery: true}},
		}, nil
	})
	if err := node.Run(); err != nil {
		tb.Fatal(err)
	}
	command := func(connect string) string {
		return "?cf_connect=" + url.QueryEscape(`{"id":1,"connect":`+connect+`}`)
	}
	return &server{
		Handler: centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}}),
		path:    command("{}"),
		publish: func(data ...[]byte) error {
			for _, d := range data {
				if _, err := node.Publish("x", d, centrifuge.WithHistory(keep, time.Hour)); err != nil {
					return err
				}
			}
			return nil
		},
		again: func(seen []byte) (path, id string) {
			epoch := centrifugeEpoch.FindSubmatch(seen)
			offsets := centrifugeOffset.FindAllSubmatch(seen, -1)
			if epoch == nil || offsets == nil {
				return command("{}"), ""
			}
			return command(fmt.Sprintf(`{"subs":{"x":{"recover":true,"epoch":%q,"offset":%s}}}`, epoch[1], offsets[len(offsets)-1][1])), ""
		},
		told:  func(got []byte) bool { return !bytes.Contains(got, []byte(`"recovered":true`)) },
		close: func() { within(node.Shutdown) },
	}
}

// within ends what might wait for a client that does not read.
func within(shutdown func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = shutdown(ctx)
}

// bare keeps all frames in one piece of memory; a client is a position in it.
// It writes what there is, up to 64 KB, and flushes, or does so for each frame.
type bare struct {
	each bool

	mu      sync.Mutex
	text    []byte // only ever appended to
	frames  int
	grown   chan struct{}
	waiting bool // somebody waits for grown
}

func openBare(each bool) *server {
	b := &bare{each: each, text: make([]byte, 0, plenty*frameBytes), grown: make(chan struct{})}
	return &server{Handler: b, publish: b.publish, close: func() {}}
}

// frameBytes is the size of a frame of bare.
const frameBytes = len("id: 00000000\ndata: \n\n") + eventBytes

func (b *bare) publish(data ...[]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range data {
		b.text = fmt.Appendf(b.text, "id: %08d\ndata: %s\n\n", b.frames, d)
		b.frames++
	}
	if b.waiting {
		close(b.grown)
		b.grown, b.waiting = make(chan struct{}), false
	}
	return nil
}

// after returns what comes after the position, or what to wait for.
func (b *bare) after(pos int) ([]byte, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pos < len(b.text) {
		return b.text[pos:], nil
	}
	b.waiting = true
	return nil, b.grown
}

func (b *bare) start(r *http.Request) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		return (n + 1) * frameBytes
	}
	return len(b.text)
}

func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	most := 64 << 10
	if b.each {
		most = frameBytes
	}
	for pos := b.start(r); ; {
		text, grown := b.after(pos)
		if grown != nil {
			select {
			case <-grown:
				continue
			case <-r.Context().Done():
				return
			}
		}
		n, err := w.Write(text[:min(len(text), most)])
		if err != nil || control.Flush() != nil {
			return
		}
		pos += n
	}
}
