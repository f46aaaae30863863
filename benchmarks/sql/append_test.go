package sql_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// BenchmarkAppend compares appends per second of 1 and of 20 goroutines that call
// Append with 20 that call AppendTx and commit themselves, in turns of
// GAPLESS_TURN (2s). The ratios are medians of those of neighbouring turns.
func BenchmarkAppend(b *testing.B) {
	for _, m := range modes[:4] {
		b.Run(m.name, func(b *testing.B) {
			driver, dsn := m.start(b)
			db := open(b, driver, dsn)
			log := openLog(b, db, "change_log", m.opts)
			event := cdc.Event{Topic: "counters", Type: "counter.changed", Key: "1", Data: text}
			one := func() error { _, err := log.Append(context.Background(), event); return err }
			own := func() error {
				tx, err := db.BeginTx(context.Background(), nil)
				if err != nil {
					return err
				}
				if err := log.AppendTx(context.Background(), tx, event); err != nil {
					return err
				}
				return tx.Commit()
			}
			turn := seconds("GAPLESS_TURN", 2*time.Second)
			var alone, many, ratios []float64
			for range max(3, b.N) {
				alone = append(alone, perSecond(b, turn, 1, one))
				drainInbox(b, log)
				shared := perSecond(b, turn, 20, one)
				drainInbox(b, log)
				many = append(many, shared)
				ratios = append(ratios, shared/perSecond(b, turn, 20, own))
				drainInbox(b, log)
			}
			b.ReportMetric(median(alone), "1-append/s")
			b.ReportMetric(median(many), "20-appends/s")
			b.ReportMetric(100*median(ratios), "%of-AppendTx")
			b.ReportMetric(100*median(many)/median(alone), "%of-1")
		})
	}
}

// drainInbox numbers what AppendTx has added, so that no turn does it for another.
func drainInbox(b *testing.B, log *sqllog.Log) {
	b.Helper()
	if _, err := log.Bounds(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func perSecond(b *testing.B, d time.Duration, goroutines int, f func() error) float64 {
	b.Helper()
	var done atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			for time.Since(start) < d {
				if err := f(); err != nil {
					b.Error(fmt.Errorf("append: %w", err))
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}
