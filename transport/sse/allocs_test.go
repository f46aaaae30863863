package sse_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// sink is a client that reads at once, and whose flush says when something was
// flushed.
type sink struct {
	header http.Header
	flush  func()
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) FlushError() error                { s.flush(); return nil }

// crowd is clients without connections that follow one handler.
type crowd struct {
	handler *sse.Handler
	ctx     context.Context // ended by leave
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

func newCrowd(tb testing.TB, log cdc.Log, opts *sse.Options) *crowd {
	tb.Helper()
	handler, err := newHandler(log, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = handler.Close() })
	c := &crowd{handler: handler}
	c.ctx, c.cancel = context.WithCancel(tb.Context())
	tb.Cleanup(c.leave)
	return c
}

// follow serves one client until its stream ends.
func (c *crowd) follow(client http.ResponseWriter, query, encoding string) {
	r := httptest.NewRequest(http.MethodGet, "/events?"+query, nil).WithContext(c.ctx)
	r.Header.Set("Accept-Encoding", encoding)
	c.handler.ServeHTTP(client, r)
}

// leave ends all streams and waits for it.
func (c *crowd) leave() {
	c.cancel()
	c.group.Wait()
}

// What a frame costs beside the response itself is shared by the streams.
func TestALiveFrameAllocatesNothing(t *testing.T) { liveAllocations(t, "identity") }

func TestALiveCompressedFrameAllocatesNothing(t *testing.T) { liveAllocations(t, "gzip") }

func liveAllocations(t *testing.T, encoding string) {
	const streams, events = 1000, 50
	log := memlog.New(nil)
	crowd := newCrowd(t, log, &sse.Options{Limits: sse.Limits{Compress: encoding == "gzip"}})
	flushed := make(chan struct{}, 3*streams)
	flush := func() { flushed <- struct{}{} }
	for range streams {
		crowd.group.Go(func() { crowd.follow(&sink{http.Header{}, flush}, "after=latest", encoding) })
	}
	await := func(n int) {
		for range n * streams {
			<-flushed
		}
	}
	deliver := func(n int) {
		for range n {
			if _, err := log.Append(t.Context(), cdc.Event{Type: "tick", Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			await(1)
		}
	}
	await(3) // head, hello and live
	deliver(10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	deliver(events)
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / (streams * events); each > 0.2 {
		t.Errorf("%.2f allocations a frame, want those of the event alone, over %d streams", each, streams)
	} else {
		t.Logf("%.2f allocations a frame", each)
	}
}
