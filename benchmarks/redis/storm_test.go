package redis_test

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// stormEvents is the length of the log that everybody replays at once.
const stormEvents = 20_000

func BenchmarkStorm(b *testing.B) {
	c := connect(b)
	l := open(b, c)
	fill(b, l)
	for _, clients := range []int{1, 100} {
		b.Run(strconv.Itoa(clients)+"-clients", func(b *testing.B) {
			for range b.N {
				calls, peak := storm(b, c, l, clients)
				b.ReportMetric(float64(calls), "xrange")
				b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
			}
		})
	}
}

// A hundred clients that come back at once cost the server at most twice what
// one does, and us less than 150 MB.
func TestStorm(t *testing.T) {
	c := connect(t)
	l := open(t, c)
	fill(t, l)
	one, _ := storm(t, c, l, 1)
	calls, peak := storm(t, c, l, 100)
	t.Logf("XRANGE: %d for one client, %d for 100; peak of our heap: %.1f MB", one, calls, float64(peak)/1e6)
	if one == 0 || calls > 2*one {
		t.Errorf("got %d XRANGE for 100 clients, want at most twice one client's %d", calls, one)
	}
	if peak > 150e6 {
		t.Errorf("got a peak of %d bytes, want less than 150 MB", peak)
	}
}

func fill(tb testing.TB, l cdc.Appender) {
	tb.Helper()
	events := make([]cdc.Event, 1000)
	for i := range events {
		events[i] = event()
	}
	for range stormEvents / len(events) {
		if _, err := l.Append(tb.Context(), events...); err != nil {
			tb.Fatal(err)
		}
	}
}

// storm replays all events for clients that connect at once, and returns how
// often the server was asked and the peak of our heap in bytes.
func storm(tb testing.TB, c *redis.Client, l cdc.Log, clients int) (calls int, peak uint64) {
	tb.Helper()
	hub, err := cdc.NewHub(l, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	before := xranges(tb, c)
	stop, peaks := watchHeap()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { replay(tb, hub, stormEvents) })
	}
	wg.Wait()
	close(stop)
	return xranges(tb, c) - before, <-peaks
}

func replay(b testing.TB, log cdc.Log, want int) {
	n := 0
	for batch, err := range cdc.Follow(b.Context(), log, cdc.Beginning(), nil) {
		if err != nil {
			b.Error(err)
			return
		}
		if n += len(batch.Events); n == want {
			return
		}
	}
}

// watchHeap measures until stop is closed, and then sends the peak above what
// was there before.
func watchHeap() (stop chan struct{}, peak chan uint64) {
	stop, peak = make(chan struct{}), make(chan uint64, 1)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base := m.HeapInuse
	var top atomic.Uint64
	go func() {
		for {
			runtime.ReadMemStats(&m)
			top.Store(max(top.Load(), m.HeapInuse-min(base, m.HeapInuse)))
			select {
			case <-stop:
				peak <- top.Load()
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return stop, peak
}

func xranges(b testing.TB, c *redis.Client) int {
	b.Helper()
	text, err := c.InfoMap(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, section := range text {
		if calls, ok := strings.CutPrefix(section["cmdstat_xrange"], "calls="); ok {
			n, _, _ := strings.Cut(calls, ",")
			count, _ := strconv.Atoi(n)
			return count
		}
	}
	return 0
}
