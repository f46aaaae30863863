package jetstream_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

var benchData = bytes.Repeat([]byte("x"), 200)

// newEvents have different IDs at every call.
func newEvents(n int) []cdc.Event {
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{ID: fmt.Sprint("order-", nextID.Add(1)), Type: "order.created", Key: "17", Data: benchData}
	}
	return events
}

var nextID atomic.Int64

// BenchmarkAppend beside the bare client: by writers that append one event each
// time, and one that appends a hundred. The server does not wait for the disk,
// which would hide what the log costs.
func BenchmarkAppend(b *testing.B) {
	n := newNode(b, nodeOptions(b))
	n.opts.SyncAlways = false
	n.start()
	js := newJS(b, n)
	log := open(b, js, "events", nil)
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "bare", Subjects: []string{"bare"}}); err != nil {
		b.Fatal(err)
	}
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("log/writers=%d", writers), func(b *testing.B) {
			share(b, writers, func() error {
				_, err := log.Append(b.Context(), newEvents(1)...)
				return err
			})
		})
		b.Run(fmt.Sprintf("bare/writers=%d", writers), func(b *testing.B) {
			share(b, writers, func() error {
				_, err := js.Publish(b.Context(), "bare", benchData)
				return err
			})
		})
	}
	b.Run("log/batch=100", func(b *testing.B) {
		for b.Loop() {
			if _, err := log.Append(b.Context(), newEvents(100)...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare/async=100", func(b *testing.B) {
		for b.Loop() {
			for range 100 {
				if _, err := js.PublishAsync("bare", benchData); err != nil {
					b.Fatal(err)
				}
			}
			<-js.PublishAsyncComplete()
		}
	})
}

// share has the writers do b.N calls together.
func share(b *testing.B, writers int, do func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkReplay reads 20,000 events, beside an ordered consumer.
func BenchmarkReplay(b *testing.B) {
	const events = 20_000
	js := newJS(b, startNode(b))
	log := open(b, js, "events", nil)
	for range events / 1000 {
		if _, err := log.Append(b.Context(), newEvents(1000)...); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("log", func(b *testing.B) {
		for b.Loop() {
			replay(b, log, events)
		}
	})
	b.Run("ordered", func(b *testing.B) {
		for b.Loop() {
			consumer, err := js.OrderedConsumer(b.Context(), "events", jetstream.OrderedConsumerConfig{})
			if err != nil {
				b.Fatal(err)
			}
			messages, err := consumer.Messages()
			if err != nil {
				b.Fatal(err)
			}
			for range events {
				if _, err := messages.Next(); err != nil {
					b.Fatal(err)
				}
			}
			messages.Stop()
		}
	})
}

func replay(b *testing.B, log *jetstreamlog.Log, events int) {
	b.Helper()
	seen := 0
	for batch, err := range cdc.Follow(b.Context(), log, cdc.Beginning(), nil) {
		if err != nil {
			b.Fatal(err)
		}
		if seen += len(batch.Events); seen == events {
			return
		}
	}
}

// BenchmarkMemory is what the server's index of subjects costs for each retained
// event, beside messages of one subject.
func BenchmarkMemory(b *testing.B) {
	js := newJS(b, startNode(b))
	log := open(b, js, "events", nil)
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "bare", Subjects: []string{"bare"}}); err != nil {
		b.Fatal(err)
	}
	const events = 100_000
	for b.Loop() {
		start := heap()
		for range events / 1000 {
			for range 1000 {
				if _, err := js.PublishAsync("bare", benchData); err != nil {
					b.Fatal(err)
				}
			}
			<-js.PublishAsyncComplete()
		}
		bare := heap()
		for range events / 1000 {
			if _, err := log.Append(b.Context(), newEvents(1000)...); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(bare-start)/events, "bare-bytes/event")
		b.ReportMetric(float64(heap()-bare)/events, "log-bytes/event")
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
