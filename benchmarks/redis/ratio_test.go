package redis_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// BenchmarkRatio takes turns with the bare commands on one server, and reports
// the median of our rate divided by theirs: on a busy machine the rates of two
// separate runs cannot be compared.
func BenchmarkRatio(b *testing.B) {
	const turn = 5000 // events
	e := event()
	events := slices.Repeat([]cdc.Event{e}, group)
	for _, p := range persistence {
		b.Run("append/"+p.name, func(b *testing.B) {
			c := connect(b, p.args...)
			l := open(b, c)
			var ratios []float64
			for b.Loop() {
				bare := four(func() error {
					for range turn / group / 4 {
						if err := addBare(b.Context(), c, fields(e)); err != nil {
							return err
						}
					}
					return nil
				}, b)
				ours := four(func() error {
					for range turn / group / 4 {
						if _, err := l.Append(b.Context(), events...); err != nil {
							return err
						}
					}
					return nil
				}, b)
				ratios = append(ratios, bare.Seconds()/ours.Seconds())
			}
			b.ReportMetric(median(ratios), "ratio")
		})
	}
	b.Run("replay", func(b *testing.B) {
		c := connect(b)
		l := open(b, c)
		for range turn / group {
			if _, err := l.Append(b.Context(), events...); err != nil {
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
			for after := uint64(0); after < turn; {
				m, err := c.XRangeN(b.Context(), "gapless:{x}:log", "("+strconv.FormatUint(after, 10)+"-0", "+", 512).Result()
				if err != nil {
					b.Fatal(err)
				}
				after += uint64(len(m))
			}
			bare := time.Since(began)
			began = time.Now()
			for after := (cdc.Cursor{Epoch: bounds.Epoch}); after.Seq < turn; {
				page, err := l.Read(b.Context(), after, 512)
				if err != nil {
					b.Fatal(err)
				}
				after.Seq = page.Next
			}
			ratios = append(ratios, bare.Seconds()/time.Since(began).Seconds())
		}
		b.ReportMetric(median(ratios), "ratio")
	})
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
