package sqllog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Rows that have been moved stay in the inbox's pages until VACUUM. Nothing may
// read through them: on a busy log they soon are a hundred thousand.
func TestNothingReadsThroughTheInbox(t *testing.T) {
	for _, v := range variants {
		if v.name != "postgres/sequencer" && v.name != "postgres/at-commit" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			l, db := v.fresh(t)
			after := cdc.Cursor{Epoch: epochOf(t, l)}
			const rounds = 30
			for n := range rounds {
				tx, err := db.BeginTxx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				for range 20 {
					if err := l.AppendTx(t.Context(), tx, cdc.Event{Type: fmt.Sprint(n)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				p, err := l.Read(t.Context(), after, 100)
				if err != nil || len(p.Events) != 20 {
					t.Fatalf("%d events, %v", len(p.Events), err)
				}
				after.Seq = p.Next
			}
			// Sessions tell what they have scanned about once a second.
			var whole, byIndex int
			for deadline := time.Now().Add(30 * time.Second); byIndex < rounds && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				if _, err := l.Bounds(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := db.QueryRow("SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'change_log_inbox'").Scan(&whole, &byIndex); err != nil {
					t.Fatal(err)
				}
			}
			if whole > 1 || byIndex < rounds { // making its index reads it once
				t.Errorf("the inbox was read whole %d times and by its index %d times, want at most 1 and at least %d", whole, byIndex, rounds)
			}
		})
	}
}

func TestInboxIsVacuumedWhileThereAreManyEvents(t *testing.T) {
	v := variants[0]
	l, db := v.fresh(t)
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	var vacuums int
	for deadline := time.Now().Add(60 * time.Second); vacuums == 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		tx, err := db.BeginTxx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.AppendTx(t.Context(), tx, make([]cdc.Event, 500)...); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'change_log_inbox'").Scan(&vacuums); err != nil {
			t.Fatal(err)
		}
	}
	if vacuums == 0 {
		t.Error("nobody has vacuumed the inbox for a minute of moving events")
	}
}
