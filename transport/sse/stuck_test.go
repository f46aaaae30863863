package sse_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// TestSoakStuckClient compares the latency that others see with and without a
// client that never reads, for a minute each.
func TestSoakStuckClient(t *testing.T) {
	if os.Getenv("GAPLESS_SOAK") == "" {
		t.Skip("set GAPLESS_SOAK for two minutes of load")
	}
	alone, beside := compareStuck(t, time.Minute, 0)
	// The machine may be busy: a few milliseconds are no finding.
	if beside > 2*alone+5*time.Millisecond {
		t.Errorf("p99 %v beside a stuck client, %v without", beside, alone)
	}
}

// TestStuckClientCostsNobody is the short form: too short to compare latencies.
func TestStuckClientCostsNobody(t *testing.T) {
	compareStuck(t, 2*time.Second, 2*time.Second)
}

func compareStuck(t *testing.T, load, writeTimeout time.Duration) (p99Alone, p99Beside time.Duration) {
	alone, _ := underLoad(t, load, writeTimeout, false)
	beside, growth := underLoad(t, load, writeTimeout, true)
	t.Logf("p99 %v alone, %v beside a client that never reads; heap grew by %d KB", alone, beside, growth>>10)
	if growth > 20<<20 {
		t.Errorf("heap grew by %d MB", growth>>20)
	}
	return alone, beside
}

// underLoad appends events of 10 KB and returns the 99th percentile of the
// time from append to receipt by ten readers.
func underLoad(t *testing.T, load, writeTimeout time.Duration, withStuck bool) (p99 time.Duration, growth int64) {
	log := memlog.New(nil)
	s := serve(t, log, &sse.Options{Timeouts: sse.Timeouts{Write: writeTimeout}, Hub: &cdc.HubOptions{TailBytes: 1 << 20}})
	ended := make(<-chan struct{})
	if withStuck {
		conn, done := stuckClient(t, s)
		defer func() { _ = conn.Close() }()
		ended = done
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var latencies []time.Duration
	for range 10 {
		f := s.follow(t, "")
		f.want("cdc.hello")
		f.want("cdc.live")
		group.Go(func() {
			own := receiveLatencies(t, f)
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
		})
	}
	before := heap()
	appendFor(t, log, load)
	growth = int64(heap()) - int64(before) - 500*10_000 // what the log holds
	appendData(t, log, `"end"`)
	group.Wait()
	if withStuck {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the stuck client still has its handler")
		}
	}
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100], growth
}

// appendFor appends events of 10 KB and keeps the newest 500.
func appendFor(t *testing.T, log *memlog.Log, load time.Duration) {
	t.Helper()
	payload := `"` + strings.Repeat("x", 10_000) + `"`
	begin := time.Now()
	for time.Since(begin) < load {
		r := appendData(t, log, payload)
		if _, err := log.Trim(t.Context(), r.Seqs[0]-min(r.Seqs[0], 500)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// receiveLatencies returns how long each event was on its way, up to the end.
func receiveLatencies(t *testing.T, f *follower) (own []time.Duration) {
	t.Helper()
	for {
		got, err := f.next()
		if err != nil {
			t.Error(err)
			return own
		}
		if got.comment || got.name != "" {
			continue
		}
		e := got.event(t)
		if e.payload() == `"end"` {
			return own
		}
		at, err := time.Parse(time.RFC3339Nano, e.Time)
		if err != nil {
			t.Error(err)
		}
		own = append(own, time.Since(at))
	}
}
