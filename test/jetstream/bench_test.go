package jetstream_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
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

// BenchmarkAppend beside the bare client, on servers that wait for the disk, as
// Durable needs, on one and on three, and on one that does not wait, which shows
// what the log itself costs.
func BenchmarkAppend(b *testing.B) {
	b.Run("sync=always/replicas=1", func(b *testing.B) { appendBeside(b, 1, startNode(b)) })
	b.Run("sync=always/replicas=3", func(b *testing.B) { appendBeside(b, 3, startCluster(b)...) })
	b.Run("sync=2m/replicas=1", func(b *testing.B) {
		n := newNode(b, nodeOptions(b))
		n.opts.SyncAlways = false
		n.start()
		appendBeside(b, 1, n)
	})
}

// appendBeside appends by writers of one event each time, and by one of a hundred.
func appendBeside(b *testing.B, replicas int, nodes ...*node) {
	js := newJS(b, nodes...)
	log := open(b, js, "events", &jetstreamlog.Options{Replicas: replicas})
	bare := jetstream.StreamConfig{Name: "bare", Subjects: []string{"bare"}, Replicas: replicas}
	if _, err := js.CreateStream(b.Context(), bare); err != nil {
		b.Fatal(err)
	}
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d/log", writers), func(b *testing.B) {
			share(b, writers, func() error { return appendSome(b, log, 1) })
		})
		b.Run(fmt.Sprintf("writers=%d/bare", writers), func(b *testing.B) {
			share(b, writers, func() error {
				_, err := js.Publish(b.Context(), "bare", benchData)
				return err
			})
		})
	}
	b.Run("batch=100/log", func(b *testing.B) { share(b, 1, func() error { return appendSome(b, log, 100) }) })
	b.Run("batch=100/bare", func(b *testing.B) { share(b, 1, func() error { return publishSome(js, 100) }) })
}

func appendSome(b *testing.B, log *jetstreamlog.Log, n int) error {
	_, err := log.Append(b.Context(), newEvents(n)...)
	return err
}

// publishSome does not wait in between. They are not atomic.
func publishSome(js jetstream.JetStream, n int) error {
	for range n {
		if _, err := js.PublishAsync("bare", benchData); err != nil {
			return err
		}
	}
	<-js.PublishAsyncComplete()
	return nil
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

// BenchmarkReplay reads 20,000 events, beside an ordered consumer, and beside
// direct gets whose answers nobody looks at, which is the most that the log can
// reach.
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
	b.Run("direct", func(b *testing.B) {
		for b.Loop() {
			for from := 1; from <= events; from += 512 {
				getDirect(b, js.Conn(), from, 512)
			}
		}
	})
}

// getDirect waits for a page and its end.
func getDirect(b *testing.B, nc *nats.Conn, from, n int) {
	b.Helper()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d}`, from, n)
	if err := nc.PublishRequest("$JS.API.DIRECT.GET.events", sub.Subject, request); err != nil {
		b.Fatal(err)
	}
	for {
		msg, err := sub.NextMsgWithContext(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if msg.Header.Get("Status") != "" {
			return
		}
	}
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
			if err := publishSome(js, 1000); err != nil {
				b.Fatal(err)
			}
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
