package cdc_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// BenchmarkHubFanOut delivers bursts of 2,000 events to live followers. One
// iteration is one event delivered to one follower.
func BenchmarkHubFanOut(b *testing.B) {
	for _, followers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("followers=%d", followers), func(b *testing.B) { deliverBursts(b, followers) })
	}
}

const burst = 2000 // events

func deliverBursts(b *testing.B, followers int) {
	log := memlog.New(&memlog.Options{Buffer: 4096})
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer hub.Close()
	events := make([]cdc.Event, burst)
	for i := range events {
		events[i].Data = make([]byte, 200)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var ready, group sync.WaitGroup
	var delivered atomic.Int64
	arrived := make(chan struct{}, followers)
	ready.Add(followers)
	for range followers {
		group.Go(func() { followBursts(ctx, hub, ready.Done, &delivered, arrived) })
	}
	ready.Wait()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += burst * followers {
		if _, err := log.Append(ctx, events...); err != nil {
			b.Fatal(err)
		}
		for range followers {
			<-arrived
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(delivered.Load()), "ns/delivery")
	cancel()
	group.Wait()
}

// followBursts counts what is delivered, and says when it is live and when a
// burst has arrived.
func followBursts(ctx context.Context, log cdc.Log, ready func(), delivered *atomic.Int64, arrived chan<- struct{}) {
	n, live := 0, false
	for batch, err := range cdc.Follow(ctx, log, cdc.Latest(), nil) {
		if err != nil {
			return
		}
		if batch.State == cdc.Live && !live {
			live = true
			ready()
		}
		delivered.Add(int64(len(batch.Events)))
		for n += len(batch.Events); n >= burst; n -= burst {
			arrived <- struct{}{}
		}
	}
}
