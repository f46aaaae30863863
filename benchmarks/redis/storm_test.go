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

// BenchmarkStorm replays 20,000 events for many clients that connect at once,
// and reports how often the server was asked and the peak of our heap.
func BenchmarkStorm(b *testing.B) {
	const total = 20_000
	c := connect(b)
	l := open(b, c)
	events := make([]cdc.Event, 1000)
	for i := range events {
		events[i] = event()
	}
	for range total / len(events) {
		if _, err := l.Append(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	for _, clients := range []int{1, 100} {
		b.Run(strconv.Itoa(clients)+"-clients", func(b *testing.B) {
			for range b.N {
				hub := cdc.NewHub(l, nil)
				before := xranges(b, c)
				stop, peak := watchHeap()
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() { replay(b, hub, total) })
				}
				wg.Wait()
				close(stop)
				b.ReportMetric(float64(xranges(b, c)-before), "xrange")
				b.ReportMetric(float64(<-peak)/(1<<20), "MiB-peak")
				_ = hub.Close()
			}
		})
	}
}

func replay(b *testing.B, log cdc.Log, want int) {
	n := 0
	for batch, err := range cdc.Follow(b.Context(), log, cdc.Beginning, nil) {
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

func xranges(b *testing.B, c *redis.Client) int {
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
