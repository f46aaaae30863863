package redis_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// BenchmarkRatio takes turns with the bare commands on one server, and reports
// the median of our rate divided by theirs: on a busy machine the rates of two
// separate runs cannot be compared.
func BenchmarkRatio(b *testing.B) {
	events := slices.Repeat([]cdc.Event{event()}, group)
	for _, p := range persistence {
		b.Run("append/"+p.name, func(b *testing.B) {
			c := connect(b, p.args...)
			l := open(b, c)
			ratio(b, c, turn/group/4, func() error { _, err := l.Append(b.Context(), events...); return err })
		})
	}
	b.Run("replay", ratioOfReplays)
}

const turn = 5000 // events

func ratioOfReplays(b *testing.B) {
	e := event()
	events := slices.Repeat([]cdc.Event{e}, group)
	c := connect(b)
	l := open(b, c)
	for range turn / group {
		if _, err := l.Append(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	for range turn / group {
		if err := addBare(b.Context(), c, fields(e)); err != nil {
			b.Fatal(err)
		}
	}
	bounds, err := l.Bounds(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var ratios []float64
	for b.Loop() {
		began := time.Now()
		readBare(b, c)
		bare := time.Since(began)
		began = time.Now()
		readLog(b, l, bounds.Epoch)
		ratios = append(ratios, bare.Seconds()/time.Since(began).Seconds())
	}
	b.ReportMetric(median(ratios), "ratio")
}

func readBare(b *testing.B, c *redis.Client) {
	b.Helper()
	for after, n := "(0", 0; n < turn; {
		m, err := c.XRangeN(b.Context(), "bare", after, "+", 512).Result()
		if err != nil {
			b.Fatal(err)
		}
		n += len(m)
		after = "(" + m[len(m)-1].ID
	}
}

func readLog(b *testing.B, l cdc.Source, epoch string) {
	b.Helper()
	for after := (cdc.Cursor{Epoch: epoch}); after.Seq < turn; {
		page, err := l.Read(b.Context(), after, 512)
		if err != nil {
			b.Fatal(err)
		}
		after.Seq = page.Next
	}
}

// ratio takes turns with bare XADD, each with n calls from four goroutines.
func ratio(b *testing.B, c *redis.Client, n int, ours func() error) {
	b.Helper()
	turns := func(f func() error) func() error {
		return func() error {
			for range n {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var ratios []float64
	for b.Loop() {
		bare := four(turns(func() error { return addBare(b.Context(), c, fields(event())) }), b)
		ratios = append(ratios, bare.Seconds()/four(turns(ours), b).Seconds())
	}
	b.ReportMetric(median(ratios), "ratio")
}

// four runs f in four goroutines and returns how long they took.
func four(f func() error, b *testing.B) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := f(); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
