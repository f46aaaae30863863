package cdc_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// A reader that was away goes on after the cursor that it kept, or is told that
// it cannot.
func ExampleFollow() {
	ctx := context.Background()
	log := memlog.New(nil)
	defer log.Close()
	for _, kind := range []string{"placed", "paid", "sent"} {
		if _, err := log.Append(ctx, cdc.Event{Topic: "orders", Key: "17", Type: kind}); err != nil {
			panic(err)
		}
	}

	// follow handles what there is and returns where it stands.
	follow := func(start cdc.Start) (at cdc.Cursor) {
		for batch, err := range cdc.Follow(ctx, log, start, &cdc.FollowOptions{PageSize: 2}) {
			if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
				fmt.Println("reload the state, then go on:", reset.Reason)
				return reset.Resume
			}
			if err != nil {
				panic(err)
			}
			for _, e := range batch.Events {
				fmt.Println(e.Seq, e.Type, batch.State)
			}
			if at = batch.Cursor; batch.State == cdc.Live || len(batch.Events) == 2 {
				return at // as if it were cut
			}
		}
		return at
	}
	kept := follow(cdc.Beginning())
	fmt.Println("away")
	follow(cdc.After(kept))
	if _, err := cdc.Trim(ctx, log, 3); err != nil {
		panic(err)
	}
	follow(cdc.After(kept))
	// Output:
	// 1 placed replaying
	// 2 paid replaying
	// away
	// 3 sent replaying
	// reload the state, then go on: truncated
}

// The position of a worker moves in the transaction of what its handler writes.
func ExampleConsume() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log := memlog.New(nil)
	defer log.Close()
	if _, err := log.Append(ctx, cdc.Event{Topic: "orders", Key: "ada"}, cdc.Event{Topic: "orders", Key: "bob"}, cdc.Event{Topic: "orders", Key: "ada"}); err != nil {
		panic(err)
	}

	orders := map[string]int{}
	err := cdc.Consume(ctx, log, "count", memlog.NewPlace(), cdc.Handler[*memlog.PlaceTx]{
		Apply: func(_ context.Context, tx *memlog.PlaceTx, d *cdc.Delivery) error {
			seq, key := d.Event.Seq, d.Event.Key
			tx.OnCommit(func() {
				if orders[key]++; seq == 3 {
					stop()
				}
			})
			return nil
		},
	}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
	fmt.Println(orders, errors.Is(err, context.Canceled))
	// Output: map[ada:2 bob:1] true
}
