package sqllog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// A reader that begins at the latest event while there is always a writer in
// flight gets none of the events that came while nobody read.
func TestFenceMeetsTheWritersInFlight(t *testing.T) {
	v := variants[1]
	first, db := v.fresh(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for range 3 {
		writers.Go(func() {
			for ctx.Err() == nil {
				tx, err := db.Beginx()
				if err == nil {
					err = first.AppendTx(t.Context(), tx, cdc.Event{Type: "n"})
					time.Sleep(4 * time.Millisecond)
					err = errors.Join(err, tx.Commit())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var head uint64
	for head < 200 {
		if err := db.QueryRow("SELECT coalesce(max(seq), 0) FROM change_log").Scan(&head); err != nil {
			t.Fatal(err)
		}
	}
	// A transaction may take longer than a fence waits on a busy machine.
	var got cdc.Bounds
	for range 5 {
		b, err := openLog(t, db, v.opts).Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got = b; b.Head >= head/2 {
			return
		}
	}
	t.Errorf("the head is %d, and the events up to about %d are decided", got.Head, head)
}
