package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Up to each head that a reader is told, it has all or none of the events of each
// call of Append, though many run at once and beside them are transactions that
// have appended an event and stay open.
func TestAppendsAreSeenWhole(t *testing.T) {
	const together = 5
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			log, db := v.fresh(t)
			ctx, cancel := context.WithTimeout(t.Context(), soak(1500*time.Millisecond))
			defer cancel()
			var group sync.WaitGroup
			writers := func(n int, write func(key string) error) {
				for w := range n {
					group.Go(func() {
						for i := 0; ctx.Err() == nil; i++ {
							if err := write(fmt.Sprintf("%d-%d", w, i)); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			writers(8, func(key string) error {
				events := make([]cdc.Event, together)
				for i := range events {
					events[i] = cdc.Event{Type: "whole", Key: key}
				}
				_, err := log.Append(t.Context(), events...)
				return err
			})
			writers(2, func(string) error { return holdOpen(t.Context(), log, db) })

			reader := openLog(t, db, v.opts)
			var heads []uint64
			for ctx.Err() == nil {
				b, err := reader.Bounds(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				heads = append(heads, b.Head)
			}
			group.Wait()
			heads = slices.Compact(heads)
			events := readAll(t, reader, cdc.Cursor{Epoch: epochOf(t, reader)})
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
			t.Logf("%d heads, the last at %d", len(heads), heads[len(heads)-1])
		})
	}
}

// holdOpen appends in a transaction that ends after a while.
func holdOpen(ctx context.Context, log *sqllog.Log, db *sqlx.DB) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	err = log.AppendTx(ctx, tx, cdc.Event{Type: "open"})
	time.Sleep(rand.N(60 * time.Millisecond))
	return errors.Join(err, tx.Commit())
}
