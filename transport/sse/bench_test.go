package sse_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// BenchmarkLiveFrame delivers an event to so many streams that what they hold
// is in no cache, without a connection. One iteration is a frame.
func BenchmarkLiveFrame(b *testing.B) {
	const streams = 4000
	log := memlog.New(nil)
	crowd := newCrowd(b, log, &sse.Options{Heartbeat: time.Minute})
	var frames atomic.Int64
	for range streams {
		crowd.group.Go(func() { crowd.follow(&sink{http.Header{}, func() { frames.Add(1) }}, "after=latest", "identity") })
	}
	await := func(n int64) {
		for frames.Load() < n {
			time.Sleep(50 * time.Microsecond)
		}
	}
	await(3 * streams)
	want := frames.Load()
	for n := 0; b.Loop(); n++ {
		if n%streams != 0 {
			continue
		}
		want += streams
		if _, err := log.Append(b.Context(), cdc.Event{Type: "tick", Data: make([]byte, 200)}); err != nil {
			b.Fatal(err)
		}
		await(want)
	}
}
