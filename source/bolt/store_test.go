package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// newStore is a Store of a DB of its own, closed with the test.
func newStore(t testing.TB) (*bbolt.DB, *boltlog.Store) {
	t.Helper()
	db := newDB(t)
	s, err := boltlog.NewStore(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, s
}

func in(t testing.TB, s *boltlog.Store, name string) *boltlog.Log {
	t.Helper()
	l, err := s.Open(t.Context(), name, &boltlog.Options{PollInterval: never})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestStoreSharesCommits: what waits for the file's writer lock leaves in one
// commit, whatever log it is for.
func TestStoreSharesCommits(t *testing.T) {
	const logs = 20
	db, s := newStore(t)
	var opened []*boltlog.Log
	for i := range logs {
		opened = append(opened, in(t, s, fmt.Sprint("log", i)))
	}
	tx, err := db.Begin(true) // so that all wait
	if err != nil {
		t.Fatal(err)
	}
	before := tx.ID()
	var callers sync.WaitGroup
	for i, l := range opened {
		callers.Go(func() {
			if r, err := l.Append(t.Context(), ev("%d", i)); err != nil || r.Seqs[0] != 1 || r.Epoch != bounds(t, l).Epoch {
				t.Errorf("log %d: got %+v, %v; want seq 1 of its own epoch", i, r, err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // only makes it likely that they share
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	_ = db.View(func(tx *bbolt.Tx) error {
		if n := tx.ID() - before; n > logs/2 {
			t.Errorf("got %d commits for %d appends that waited together, want few", n, logs)
		}
		return nil
	})
	for i, l := range opened {
		wantTexts(t, all(t, l, 100), fmt.Sprint(i))
	}
}

// TestStoreIsolatesLogs: one whose bucket is gone takes no other with it.
func TestStoreIsolatesLogs(t *testing.T) {
	db, s := newStore(t)
	gone, other := in(t, s, "gone"), in(t, s, "other")
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("gone")) }); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	callers.Go(func() {
		_, err := gone.Append(t.Context(), ev("a"))
		wantErr(t, err, "was deleted")
	})
	callers.Go(func() {
		if _, err := other.Append(t.Context(), ev("a")); err != nil {
			t.Errorf("append to another log: %v", err)
		}
	})
	time.Sleep(20 * time.Millisecond) // only makes it likely that they share
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
}

// TestStoreWakesEveryLogOfAName at once, and no log of another name.
func TestStoreWakesEveryLogOfAName(t *testing.T) {
	db, s := newStore(t)
	a, b, other := in(t, s, "x"), in(t, s, "x"), in(t, s, "y")
	sub, err := b.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := other.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	add(t, a, "1")
	if _, err := sub.Next(ctx); err != nil {
		t.Errorf("Next after Append through the other: %v", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := a.AppendTx(tx, ev("2")); return err })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(ctx); err != nil {
		t.Errorf("Next after AppendTx through the other: %v", err)
	}
	if _, err := a.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(ctx); !isReset(err) {
		t.Errorf("Next after Renew through the other: got %v, want a reset", err)
	}
	short, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	if _, err := quiet.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next of a log that did not grow: got %v, want the deadline", err)
	}
}

func isReset(err error) bool {
	_, ok := errors.AsType[*cdc.ResetError](err)
	return ok
}

// TestStoreClose closes its logs; closing one of them leaves the others.
func TestStoreClose(t *testing.T) {
	db, s := newStore(t)
	a, b := in(t, s, "a"), in(t, s, "b")
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(t.Context(), ev("1")); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Append to the closed log: got %v, want ErrClosed", err)
	}
	add(t, b, "1")
	add(t, in(t, s, "a"), "1") // opened again
	if err := errors.Join(s.Close(), s.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Bounds(t.Context()); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Bounds after the Store's Close: got %v, want ErrClosed", err)
	}
	if _, err := s.Open(t.Context(), "c", nil); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Open after the Store's Close: got %v, want ErrClosed", err)
	}
	wantTexts(t, all(t, on(t, db, "b"), 10), "1")
}

// TestStoreOfAFile: further logs of a file that OpenFile opened, which end with it.
func TestStoreOfAFile(t *testing.T) {
	path := newPath(t)
	first := open(t, path, nil)
	second := in(t, first.Store(), "second")
	add(t, second, "1")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Append(t.Context(), ev("2")); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Append after Close of the file's log: got %v, want ErrClosed", err)
	}
	wantTexts(t, all(t, openNamed(t, path, "second", nil), 10), "1")
}
