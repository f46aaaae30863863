package consume_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// target is a store with a log, and a handler that writes to it.
type target[T any] struct {
	log   cdc.Log
	place cdc.Place[T]
	apply func(ctx context.Context, tx T, e cdc.Event) error
	run   func(ctx context.Context, fn func(tx T) error) error // in a transaction
}

// BenchmarkOverhead reports events a second of both, and their ratio in percent,
// each the best of three by turns.
func BenchmarkOverhead(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			b.Run("mem", func(b *testing.B) { compare(b, size, openMem(b)) })
			b.Run("bolt", func(b *testing.B) { compare(b, size, openBolt(b)) })
			b.Run("redis", func(b *testing.B) { compare(b, size, openRedis(b)) })
			for _, s := range servers {
				b.Run(s.name, func(b *testing.B) { compare(b, size, openSQL(b, s)) })
			}
		})
	}
}

func compare[T any](b *testing.B, size int, t target[T]) {
	b.Helper()
	total := 50 * size
	for n := 0; n < total; n += 100 {
		events := make([]cdc.Event, min(100, total-n))
		for i := range events {
			events[i] = cdc.Event{Type: "test", Key: "k", Data: []byte(`{"total":7}`)}
		}
		if _, err := cdc.Append(b.Context(), t.log, events...); err != nil {
			b.Fatal(err)
		}
	}
	run := 0
	for b.Loop() {
		bare, consumed := time.Hour, time.Hour
		for range 3 {
			run++
			bare = min(bare, t.bare(b, size, total))
			consumed = min(consumed, t.consume(b, size, fmt.Sprint("worker", run)))
		}
		b.ReportMetric(float64(total)/bare.Seconds(), "bare/s")
		b.ReportMetric(float64(total)/consumed.Seconds(), "consume/s")
		b.ReportMetric(100*bare.Seconds()/consumed.Seconds(), "%")
	}
	b.ReportMetric(0, "ns/op")
}

func (t target[T]) bare(b *testing.B, size, total int) time.Duration {
	b.Helper()
	start, n := time.Now(), 0
	for batch, err := range cdc.Follow(b.Context(), t.log, cdc.Beginning(), &cdc.FollowOptions{PageSize: size}) {
		if err != nil {
			b.Fatal(err)
		}
		err = t.run(b.Context(), func(tx T) error {
			for _, e := range batch.Events {
				if err := t.apply(b.Context(), tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if n += len(batch.Events); n >= total {
			break
		}
	}
	return time.Since(start)
}

// consume measures from when the worker is active to when it is at the head.
func (t target[T]) consume(b *testing.B, size int, worker string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	begun, done := make(chan time.Time, 1), make(chan error, 1)
	go func() {
		done <- cdc.Consume(ctx, t.log, worker, t.place, cdc.Handler[T]{
			Apply: func(ctx context.Context, tx T, d *cdc.Delivery) error { return t.apply(ctx, tx, d.Event) },
		}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: size, OnActive: func(cdc.Lease) { begun <- time.Now() }})
	}()
	start := <-begun
	bounds, err := t.log.Bounds(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for {
		state, err := t.place.Load(ctx, worker)
		if err != nil {
			b.Fatal(err)
		}
		if state.Cursor.Seq >= bounds.Head {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	took := time.Since(start)
	cancel()
	<-done
	return took
}
