package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// A reader that begins at the latest event while there is always a writer in
// flight gets none of the events that came while nobody read.
func TestFenceMeetsTheWritersInFlight(t *testing.T) {
	v := variants[1]
	first, db := v.fresh(t)
	defer overlapping(t, db, 3, slowly(t, first, 1, 4*time.Millisecond))()
	head := drawnTo(t, db, 200)
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

// overlapping lets so many writers write in transactions, one after the other,
// until stop is called.
func overlapping(t *testing.T, db *sqlx.DB, writers int, write func(*sqlx.Tx) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for ctx.Err() == nil {
				tx, err := db.Beginx()
				if err == nil {
					err = errors.Join(write(tx), tx.Commit())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// slowly appends so many events one by one, with a pause after each.
func slowly(t *testing.T, l *sqllog.Log, appends int, pause time.Duration) func(*sqlx.Tx) error {
	return func(tx *sqlx.Tx) (err error) {
		for range appends {
			err = errors.Join(err, l.AppendTx(t.Context(), tx, cdc.Event{Type: "n"}))
			time.Sleep(pause)
		}
		return err
	}
}

// drawnTo waits until the table has an event of that seq or above, and returns
// the highest.
func drawnTo(t *testing.T, db *sqlx.DB, seq uint64) (head uint64) {
	t.Helper()
	for head < seq && !t.Failed() {
		if err := db.QueryRow("SELECT coalesce(max(seq), 0) FROM change_log").Scan(&head); err != nil {
			t.Fatal(err)
		}
	}
	return head
}

// begin begins a transaction that has appended so many events.
func begin(t *testing.T, l *sqllog.Log, db *sqlx.DB, events int) *sqlx.Tx {
	t.Helper()
	tx, err := db.BeginTxx(t.Context(), nil)
	if err == nil {
		err = l.AppendTx(t.Context(), tx, make([]cdc.Event, events)...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// A reader looks while a transaction has appended the greater part of its
// events, more than the fence searches at once, and again when it has committed
// and another is open that began meanwhile.
func TestFenceShowsLargeTransactionWhole(t *testing.T) {
	l, db := variants[1].fresh(t)
	epoch := epochOf(t, l)
	visible := func() int { return len(readAll(t, l, cdc.Cursor{Epoch: epoch})) }
	large := begin(t, l, db, 6000)
	if n := visible(); n != 0 {
		t.Fatalf("%d events are visible, and nothing has committed", n)
	}
	if err := l.AppendTx(t.Context(), large, make([]cdc.Event, 1000)...); err != nil {
		t.Fatal(err)
	}
	other := begin(t, l, db, 1)
	if err := large.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := visible(); n != 0 && n != 7000 {
		t.Errorf("%d of the 7000 events of a transaction are visible", n)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := visible(); n != 7000 {
		t.Errorf("%d of 7000 events are visible when no transaction is open", n)
	}
}

// Two INSERTs of two rows draw their numbers in turns, and between those another
// transaction draws one and stays open for longer than the fence ever waits.
func TestFenceSplitsNoInsert(t *testing.T) {
	l, db := variants[1].fresh(t)
	after := cdc.Cursor{Epoch: epochOf(t, l)}
	gate, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gate.Rollback() }()
	if _, err := gate.Exec("SELECT pg_advisory_xact_lock(7)"); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			_, err := db.Exec("INSERT INTO change_log (type) SELECT 'n' FROM generate_series(1, 2) AS n" +
				" WHERE n = 1 OR pg_advisory_xact_lock_shared(7)::text IS NOT NULL")
			if err != nil {
				t.Error(err)
			}
		})
	}
	visible := func() int { return len(readAll(t, l, after)) }
	await(t, "both to draw their first number", func() bool {
		var last int
		if err := db.QueryRow("SELECT last_value FROM change_log_seq_seq").Scan(&last); err != nil {
			t.Fatal(err)
		}
		return last == 2 && visible() == 0
	})
	between := begin(t, l, db, 1)
	if n := visible(); n != 0 {
		t.Errorf("%d events are visible, and nothing has committed", n)
	}
	if err := gate.Rollback(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	for until := time.Now().Add(1200 * time.Millisecond); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if n := visible(); n != 0 && n != 4 {
			t.Fatalf("%d events of two INSERTs of two are visible", n)
		}
	}
	if err := between.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := visible(); n != 4 {
		t.Errorf("%d of 4 events are visible when no transaction is open", n)
	}
}

// A number that was given by hand lies above what the sequence has drawn, and is
// seen when that gets there. It holds back nothing of its transaction.
func TestFenceDoesNotWaitForNumbersGivenByHand(t *testing.T) {
	l, db := variants[1].fresh(t)
	epoch := epochOf(t, l)
	mustExec(t, db, "INSERT INTO change_log (seq, type) VALUES (DEFAULT, 'drawn'), (1000, 'by hand')")
	for range 2 { // one look may meet a transaction that is still drawing
		if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) == 1 && got[0].Type == "drawn" {
			return
		}
	}
	t.Error("the event whose number was drawn is not seen")
}

// Where there is always a transaction that has appended once and will again,
// no head has all of each transaction on one side, and where there is always
// an INSERT under way, none has all of each INSERT. The stream goes on.
func TestFenceGoesOnWhereTransactionsAlwaysOverlap(t *testing.T) {
	l, db := variants[1].fresh(t)
	t.Run("appends", func(t *testing.T) {
		defer overlapping(t, db, 12, slowly(t, l, 3, 2*time.Millisecond))()
		headGoesOn(t, l, db, 10)
	})
	t.Run("one INSERT", func(t *testing.T) {
		defer overlapping(t, db, 12, func(tx *sqlx.Tx) error {
			_, err := tx.Exec("INSERT INTO change_log (type) SELECT 'n' FROM generate_series(1, 100) WHERE pg_sleep(random() * 0.002)::text IS NOT NULL")
			return err
		})()
		headGoesOn(t, l, db, 2)
	})
}

func headGoesOn(t *testing.T, l *sqllog.Log, db *sqlx.DB, times uint64) {
	t.Helper()
	first := drawnTo(t, db, 1)
	for seq := first + 100; seq <= first+100*times; seq += 100 {
		drawn := drawnTo(t, db, seq)
		await(t, fmt.Sprintf("the head to reach %d: the table has events up to %d", seq, drawn), func() bool {
			b, err := l.Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return b.Head >= seq || t.Failed()
		})
	}
}
