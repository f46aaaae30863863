package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// groupVariants are those in which appends share a transaction.
var groupVariants = []variant{variants[0], variants[2], variants[3]}

// holdHead opens a transaction that holds back every append of the log.
func holdHead(t *testing.T, db *sqlx.DB, v variant) *sqlx.Tx {
	t.Helper()
	tx := beginTx(t, db)
	mustExec(t, tx, headLock(v))
	return tx
}

// beginTx opens a transaction that ends with the test.
func beginTx(t *testing.T, db *sqlx.DB) *sqlx.Tx {
	t.Helper()
	tx, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func headLock(v variant) string {
	if v.opts.Mode == sqllog.AtCommit {
		return "SELECT pg_advisory_xact_lock(1735158131, 'change_log'::regclass::oid::integer)"
	}
	return "SELECT one FROM change_log_head WHERE one = 1 FOR UPDATE"
}

// sharedAppend is one of the appends of TestAppendsShareACommit.
type sharedAppend struct {
	name      string
	events    []cdc.Event
	duplicate bool

	receipt cdc.Receipt
	err     error
}

// sharedAppends are in the order in which they wait.
func sharedAppends(driver string) []*sharedAppend {
	refused := cdc.Event{ID: "refused", Meta: map[string]string{"a": "\x00"}}
	if driver == "mysql" {
		refused = cdc.Event{ID: "refused", Key: "\xff"}
	}
	return []*sharedAppend{
		{name: "first", events: []cdc.Event{{ID: "a", Key: "first"}}},
		{name: "ends", events: []cdc.Event{{ID: "ends"}}},
		{name: "several", events: []cdc.Event{{ID: "b"}, {ID: "c"}, {ID: "b"}}},
		{name: "again", events: []cdc.Event{{ID: "a", Key: "first"}}, duplicate: true},
		{name: "part again", events: []cdc.Event{{ID: "c"}, {ID: "d"}}},
		{name: "stored", events: []cdc.Event{{ID: "stored"}}, duplicate: true},
		{name: "refused", events: []cdc.Event{refused}},
		{name: "no ID", events: []cdc.Event{{Key: "1"}, {Key: "2"}}},
	}
}

// TestAppendsShareACommit holds back appends, so that most are in one transaction
// then: each gets its own receipt, and what is wrong with one is no other's.
func TestAppendsShareACommit(t *testing.T) {
	for _, v := range groupVariants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			l, db := v.fresh(t)
			if _, err := l.Append(t.Context(), cdc.Event{ID: "stored"}); err != nil {
				t.Fatal(err)
			}
			held := holdHead(t, db, v)
			ends, cancel := context.WithCancel(t.Context())
			appends := sharedAppends(db.DriverName())
			var wg sync.WaitGroup
			for _, a := range appends {
				ctx := t.Context()
				if a.name == "ends" {
					ctx = ends
				}
				wg.Go(func() { a.receipt, a.err = l.Append(ctx, a.events...) })
				time.Sleep(10 * time.Millisecond) // so that they wait in this order
			}
			cancel()
			time.Sleep(50 * time.Millisecond)
			if err := held.Rollback(); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			stored := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
			for _, a := range appends {
				a.check(t, stored)
			}
		})
	}
}

// check wants the outcome of an append that shared a transaction.
func (a *sharedAppend) check(t *testing.T, stored []cdc.Event) {
	t.Helper()
	switch {
	case a.name == "ends":
		if !errors.Is(a.err, context.Canceled) {
			t.Errorf("ends: got %v, want context canceled", a.err)
		}
		return
	case a.name == "refused":
		if a.err == nil || errors.Is(a.err, cdc.ErrUnknownOutcome) {
			t.Errorf("refused: got %v, want what is wrong with the event", a.err)
		}
		return
	case a.err != nil:
		t.Errorf("%s: %v", a.name, a.err)
		return
	case a.receipt.Duplicate != a.duplicate:
		t.Errorf("%s: Duplicate = %t, want %t", a.name, a.receipt.Duplicate, a.duplicate)
	}
	for n, e := range a.events {
		at := slices.IndexFunc(stored, func(got cdc.Event) bool { return got.Seq == a.receipt.Seqs[n] })
		if at < 0 || stored[at].ID != e.ID || stored[at].Key != e.Key {
			t.Errorf("%s: event %d has seq %d, which is not its own: %+v", a.name, n, a.receipt.Seqs[n], stored)
		}
	}
}

// TestAppendsWaitOnlyForAWhile: a transaction does not end, and others begin
// without it; none is lost.
func TestAppendsWaitOnlyForAWhile(t *testing.T) {
	for _, v := range groupVariants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			l, db := v.fresh(t)
			held := holdHead(t, db, v)
			var wg sync.WaitGroup
			for n := range 3 {
				wg.Go(func() {
					if _, err := l.Append(t.Context(), cdc.Event{ID: fmt.Sprint(n)}); err != nil {
						t.Errorf("append %d: %v", n, err)
					}
				})
				time.Sleep(1200 * time.Millisecond) // longer than one waits for another's transaction
			}
			if err := held.Rollback(); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if got := len(readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})); got != 3 {
				t.Errorf("got %d events, want 3", got)
			}
		})
	}
}

// TestAppendsThatGiveWayTryAgain: where an append and a transaction of the
// application wait for each other, the database rolls one of them back. The
// application knows nothing of the append.
func TestAppendsThatGiveWayTryAgain(t *testing.T) {
	for _, v := range groupVariants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			l, db := v.fresh(t)
			tx := beginTx(t, db)
			columns, values := "seq, id, topic, type", "1000000 + n, CASE n WHEN 0 THEN 'b' END, '', ''"
			if db.DriverName() == "mysql" {
				columns, values = columns+", `key`, time", values+", '', 0"
			}
			// MariaDB spares the transaction that has written more.
			mustExec(t, tx, "INSERT INTO change_log ("+columns+") WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 200) SELECT "+values+" FROM s")
			appended := make(chan error, 1)
			go func() {
				_, err := l.Append(t.Context(), cdc.Event{ID: "a"}, cdc.Event{ID: "b"})
				appended <- err
			}()
			time.Sleep(300 * time.Millisecond) // it holds the head, and waits for b
			_, err := tx.Exec(headLock(v))
			t.Logf("the transaction: %v", err)
			_ = tx.Rollback()
			if err := <-appended; err != nil {
				t.Fatalf("append: %v", err)
			}
			if got := len(readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})); got != 2 {
				t.Errorf("got %d events, want 2", got)
			}
		})
	}
}
