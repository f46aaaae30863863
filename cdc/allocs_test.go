package cdc_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// An event now and then to many followers is what most services send: then it
// must cost a follower no memory. What the log and the Hub need for the event
// is shared by the followers.
func TestALiveDeliveryAllocatesNothing(t *testing.T) {
	const followers, events = 100, 200
	log := memlog.New(nil)
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	arrived := make(chan struct{}, followers)
	for range followers {
		group.Go(func() {
			for _, err := range cdc.Follow(ctx, hub, cdc.Latest(), nil) {
				if err != nil {
					return
				}
				arrived <- struct{}{}
			}
		})
	}
	await := func() {
		for range followers {
			<-arrived
		}
	}
	deliver := func(n int) {
		for range n {
			if _, err := log.Append(ctx, cdc.Event{Type: "tick", Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
			await()
		}
	}
	await() // all are live
	deliver(10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	deliver(events)
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / (followers * events); each > 0.2 {
		t.Errorf("%.2f allocations a delivery, want those of the event alone, over %d followers", each, followers)
	} else {
		t.Logf("%.2f allocations a delivery", each)
	}
}
