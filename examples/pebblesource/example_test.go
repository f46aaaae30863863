package pebblesource_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/examples/pebblesource"
)

// A log over pebble is appended to and followed like every log.
func Example() {
	dir, err := os.MkdirTemp("", "pebblesource-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	src, err := pebblesource.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	events, err := cdc.Poll(src, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = events.Close() }()

	ctx := context.Background()
	if _, err := events.Append(ctx, cdc.Event{Type: "one"}, cdc.Event{Type: "two"}); err != nil {
		log.Fatal(err)
	}
	for batch, err := range cdc.Follow(ctx, events, cdc.Beginning(), nil) {
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range batch.Events {
			fmt.Println(e.Seq, e.Type)
		}
		if batch.State == cdc.Live {
			return
		}
	}

	// Output:
	// 1 one
	// 2 two
}
