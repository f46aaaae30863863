package customsource_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/examples/customsource"
)

// A source of one's own is appended to, followed and resumed like every log.
func Example() {
	dir, err := os.MkdirTemp("", "customsource-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	src, err := customsource.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	events, err := cdc.Poll(src, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = events.Close() }()

	ctx := context.Background()
	receipt, err := events.Append(ctx, cdc.Event{Type: "one"}, cdc.Event{Type: "two"}, cdc.Event{Type: "three"})
	if err != nil {
		log.Fatal(err)
	}
	start := cdc.After(cdc.Cursor{Epoch: receipt.Epoch, Seq: receipt.Seqs[0]})
	for batch, err := range cdc.Follow(ctx, events, start, nil) {
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
	// 2 two
	// 3 three
}
