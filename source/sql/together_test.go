package sqllog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// Up to each head that a reader is told, it has all or none of the events of each
// call of Append, though many run at once and beside them are transactions that
// have appended an event and stay open.
func TestAppendsAreSeenWhole(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			log, db := v.fresh(t)
			ctx, cancel := context.WithTimeout(t.Context(), soak(1500*time.Millisecond))
			defer cancel()
			var group sync.WaitGroup
			for w := range 8 {
				group.Go(func() { appendTogether(ctx, t, log, w) })
			}
			stop := overlapping(t, db, 2, func(tx *sqlx.Tx) error {
				err := log.AppendTx(t.Context(), tx, cdc.Event{Type: "open"})
				time.Sleep(rand.N(60 * time.Millisecond))
				return err
			})

			reader := openLog(t, db, v.opts)
			var heads []uint64
			for ctx.Err() == nil {
				b, err := reader.Bounds(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				heads = append(heads, b.Head)
			}
			stop() // while they go on, a writer to SQLite may never get its turn
			group.Wait()
			heads = slices.Compact(heads)
			events := readAll(t, reader, cdc.Cursor{Epoch: epochOf(t, reader)})
			checkTogether(t, events, heads)
			t.Logf("%d heads, the last at %d", len(heads), heads[len(heads)-1])
		})
	}
}

const together = 5 // events of a call of Append

func appendTogether(ctx context.Context, t *testing.T, log cdc.Appender, writer int) {
	t.Helper()
	for i := 0; ctx.Err() == nil; i++ {
		events := make([]cdc.Event, together)
		for n := range events {
			events[n] = cdc.Event{Type: "whole", Key: fmt.Sprintf("%d-%d", writer, i)}
		}
		if _, err := log.Append(t.Context(), events...); err != nil {
			t.Error(err)
			return
		}
	}
}

// checkTogether wants all or none of the events of each call up to each head.
func checkTogether(t *testing.T, events []cdc.Event, heads []uint64) {
	t.Helper()
	have := map[string]int{} // of appends of which there is a part up to the head
	for _, head := range heads {
		for ; len(events) > 0 && events[0].Seq <= head; events = events[1:] {
			if e := events[0]; e.Type == "whole" {
				if have[e.Key]++; have[e.Key] == together {
					delete(have, e.Key)
				}
			}
		}
		for key, n := range have {
			t.Errorf("up to the head %d there are %d of the %d events of %s", head, n, together, key)
		}
	}
}
