package consume_test

import (
	"context"
	"errors"
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
	total := 200 * size
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
		bare, consumed := 0.0, 0.0
		for range 3 {
			run++
			bare = max(bare, t.bare(b, size, total))
			consumed = max(consumed, t.consume(b, size, total, fmt.Sprint("worker", run)))
		}
		b.ReportMetric(bare, "bare/s")
		b.ReportMetric(consumed, "consume/s")
		b.ReportMetric(100*consumed/bare, "%")
	}
	b.ReportMetric(0, "ns/op")
}

// meter measures from the first event to the first of the last batch, so that
// neither the start counts nor how the end is noticed.
type meter struct {
	size, total int
	n           int
	begin       time.Time
	rate        float64 // events a second
}

// take is called for each event, in order.
func (m *meter) take() {
	switch m.n {
	case 0:
		m.begin = time.Now()
	case m.total - m.size:
		m.rate = float64(m.n) / time.Since(m.begin).Seconds()
	}
	m.n++
}

func (t target[T]) bare(b *testing.B, size, total int) float64 {
	b.Helper()
	m := meter{size: size, total: total}
	for batch, err := range cdc.Follow(b.Context(), t.log, cdc.Beginning(), &cdc.FollowOptions{PageSize: size}) {
		if err != nil {
			b.Fatal(err)
		}
		err = t.run(b.Context(), func(tx T) error {
			for _, e := range batch.Events {
				m.take()
				if err := t.apply(b.Context(), tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if m.n >= total {
			break
		}
	}
	return m.rate
}

func (t target[T]) consume(b *testing.B, size, total int, worker string) float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	m := meter{size: size, total: total}
	err := cdc.Consume(ctx, t.log, worker, t.place, cdc.Handler[T]{
		Apply: func(ctx context.Context, tx T, d *cdc.Delivery) error {
			m.take()
			err := t.apply(ctx, tx, d.Event)
			if m.n == total {
				cancel()
			}
			return err
		},
	}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: size})
	if !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	return m.rate
}
