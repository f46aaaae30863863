package sse_test

import (
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// A live event waits for a few pieces of the history that others are sent, not
// for as many as these can take in the time that the scheduler gives each.
func TestHistoryHoldsUpNoLiveStream(t *testing.T) {
	const clients, events, live = 50, 3000, 100
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that no other load is counted
	log := largeEvents(t, events)
	crowd := newCrowd(t, log, &sse.Options{Hub: &cdc.HubOptions{TailEvents: 1}})
	var pieces atomic.Int64
	for range clients {
		crowd.group.Go(func() {
			for crowd.ctx.Err() == nil {
				crowd.follow(&sink{http.Header{}, func() { pieces.Add(1) }}, "after=beginning&limit=2900", "identity")
			}
		})
	}
	flushed := make(chan struct{}, 100)
	crowd.group.Go(func() {
		crowd.follow(&sink{http.Header{}, func() { flushed <- struct{}{} }}, "after=latest", "identity")
	})
	for range 3 { // head, hello and live
		<-flushed
	}
	var waits []int64
	for range live {
		time.Sleep(2 * time.Millisecond) // the others go on
		before := pieces.Load()
		if _, err := log.Append(t.Context(), cdc.Event{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		<-flushed
		waits = append(waits, pieces.Load()-before)
	}
	slices.Sort(waits)
	t.Logf("an event waits for %d pieces, in a tenth of the cases for %d, at most for %d", waits[live/2], waits[live*9/10], waits[live-1])
	if half := waits[live/2]; half > 2*clients {
		t.Errorf("half of the live events wait for %d pieces of history and more, want about one for each client", half)
	}
}

// largeEvents is a log of n events, of which a piece has some thirty.
func largeEvents(t *testing.T, n int) *memlog.Log {
	t.Helper()
	log := memlog.New(nil)
	data := []byte(`"` + strings.Repeat("x", 2000) + `"`)
	for range n {
		if _, err := log.Append(t.Context(), cdc.Event{Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	return log
}
