package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

const group = 100 // events in a pipeline, and in one Append

// event is one of about 290 bytes as a frame.
func event() cdc.Event {
	return cdc.Event{Topic: "shop", Type: "order.created", Key: "order-123456", Data: make([]byte, 200)}
}

// fields are those that the log writes of one event.
func fields(e cdc.Event) []any {
	return []any{"1795400000000000", "\x00" + e.Topic + "\x00" + e.Type + "\x00" + e.Key + "\x00\x00" + string(e.Data)}
}

var persistence = []struct {
	name string
	args []string
}{
	{"nothing", nil},
	{"everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
	{"always", []string{"--appendonly", "yes", "--appendfsync", "always"}},
}

func connect(b testing.TB, args ...string) *redis.Client {
	b.Helper()
	c := redis.NewClient(&redis.Options{Addr: testserver.StartRedis(b, args...).Addr})
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func open(b testing.TB, c *redis.Client) *redislog.Log {
	b.Helper()
	l, err := redislog.Open(b.Context(), c, "x", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// addBare pipelines one group of XADD.
func addBare(ctx context.Context, c *redis.Client, values []any) error {
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range group {
			p.XAdd(ctx, &redis.XAddArgs{Stream: "bare", Values: values})
		}
		return nil
	})
	return err
}

// each runs f from n goroutines until it has been called b.N/per times.
func each(b *testing.B, n, per int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(int64(-per)) > int64(-per) {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkAppend(b *testing.B) {
	e := event()
	events := make([]cdc.Event, group)
	for i := range events {
		events[i] = e
	}
	for _, p := range persistence {
		for _, n := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/bare-xadd/pipelines-%d", p.name, n), func(b *testing.B) {
				c := connect(b, p.args...)
				each(b, n, group, func() error { return addBare(b.Context(), c, fields(e)) })
			})
			b.Run(fmt.Sprintf("%s/gapless/batches-%d", p.name, n), func(b *testing.B) {
				l := open(b, connect(b, p.args...))
				each(b, n, group, func() error { _, err := l.Append(b.Context(), events...); return err })
			})
		}
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/bare-xadd/writers-%d", p.name, n), func(b *testing.B) {
				c := connect(b, p.args...)
				each(b, n, 1, func() error {
					return c.XAdd(b.Context(), &redis.XAddArgs{Stream: "bare", Values: fields(e)}).Err()
				})
			})
			b.Run(fmt.Sprintf("%s/gapless/writers-%d", p.name, n), func(b *testing.B) {
				l := open(b, connect(b, p.args...))
				each(b, n, 1, func() error { _, err := l.Append(b.Context(), e); return err })
			})
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	const page = 512
	c := connect(b)
	l := open(b, c)
	events := make([]cdc.Event, group)
	for i := range events {
		events[i] = event()
	}
	const total = 100_000
	for range total / group {
		_, err := l.Append(b.Context(), events...)
		if err := errors.Join(err, addBare(b.Context(), c, fields(events[0]))); err != nil {
			b.Fatal(err)
		}
	}
	bounds, err := l.Bounds(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare-xrange", func(b *testing.B) {
		n, after := 0, "-"
		for b.Loop() {
			m, err := c.XRangeN(b.Context(), "bare", after, "+", page).Result()
			if err != nil {
				b.Fatal(err)
			}
			n += len(m)
			if after = "-"; len(m) == page {
				after = "(" + m[page-1].ID
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("gapless", func(b *testing.B) {
		n, after := 0, cdc.Cursor{Epoch: bounds.Epoch}
		for b.Loop() {
			p, err := l.Read(b.Context(), after, page)
			if err != nil {
				b.Fatal(err)
			}
			n += len(p.Events)
			if after.Seq = p.Next; after.Seq >= total {
				after.Seq = 0
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}
