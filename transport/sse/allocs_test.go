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
)

// sink is a client that reads at once: it says when something was flushed.
type sink struct {
	header  http.Header
	flushed chan<- struct{}
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) FlushError() error                { s.flushed <- struct{}{}; return nil }

// What a frame costs beside the response itself is shared by the streams.
func TestALiveFrameAllocatesNothing(t *testing.T) {
	const streams, events = 100, 200
	log := memlog.New(nil)
	handler, err := newHandler(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handler.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	flushed := make(chan struct{}, 3*streams)
	for range streams {
		r := httptest.NewRequest(http.MethodGet, "/events?after=latest", nil).WithContext(ctx)
		group.Go(func() { handler.ServeHTTP(&sink{http.Header{}, flushed}, r) })
	}
	await := func(n int) {
		for range n * streams {
			<-flushed
		}
	}
	deliver := func(n int) {
		for range n {
			if _, err := log.Append(ctx, cdc.Event{Type: "tick", Data: []byte("{}")}); err != nil {
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
	if each := float64(after.Mallocs-before.Mallocs) / (streams * events); each > 0.3 {
		t.Errorf("%.2f allocations a frame, want those of the event alone, over %d streams", each, streams)
	} else {
		t.Logf("%.2f allocations a frame", each)
	}
}
