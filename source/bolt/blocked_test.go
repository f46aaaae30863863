package boltlog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// patience is the ctx of a call that is blocked, tooLong when it should have
// returned on any machine.
const (
	patience = 200 * time.Millisecond
	tooLong  = 4 * time.Second
)

// wantCause runs the call with a ctx that ends soon.
func wantCause(t *testing.T, name string, call func(ctx context.Context) error) {
	t.Helper()
	mine := errors.New("my cause")
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, mine)
	defer cancel()
	begin := time.Now()
	if err := call(ctx); !errors.Is(err, mine) {
		t.Errorf("%s: got %v, want the cause of the ctx", name, err)
	}
	if took := time.Since(begin); took > tooLong {
		t.Errorf("%s returned after %v, want %v", name, took, patience)
	}
}

// blockReads begins a read transaction of the application and a commit that
// waits for it in order to enlarge the map: whoever reads now waits as well.
func blockReads(t *testing.T, db *bbolt.DB) (unblock func()) {
	t.Helper()
	reader, err := db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		written <- db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("application"))
			if err != nil {
				return err
			}
			return b.Put([]byte("large"), make([]byte, 4<<20))
		})
	}()
	untilReadersWait(db)
	return func() {
		if err := errors.Join(reader.Rollback(), <-written); err != nil {
			t.Error(err)
		}
	}
}

// TestBlockedByTheApplication: no call takes longer than its ctx, whatever
// transaction of the application is open.
func TestBlockedByTheApplication(t *testing.T) {
	t.Run("writer", func(t *testing.T) {
		db := newDB(t)
		l := on(t, db, logName)
		all := callsThatWait(l, bounds(t, l).Epoch)
		tx, err := db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Append", "Trim", "Renew", "Open"} {
			wantCause(t, name, all[name])
		}
		for _, name := range []string{"Bounds", "Append of nothing", "Read", "Subscribe"} {
			if err := all[name](t.Context()); err != nil {
				t.Errorf("%s: got %v, want nil: a reader waits for no writer", name, err)
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if head := bounds(t, l).Head; head != 0 {
			t.Errorf("got head %d after refused appends, want 0", head)
		}
	})
	t.Run("writer that waits for a reader", func(t *testing.T) {
		db := newDB(t)
		l := on(t, db, logName)
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := callsThatWait(l, bounds(t, l).Epoch)
		unblock := blockReads(t, db)
		defer unblock()
		for name, call := range all {
			wantCause(t, name, call)
		}
		wantCause(t, "Next", func(ctx context.Context) error { _, err := sub.Next(ctx); return err })
	})
}

// callsThatWait are the calls that may have to wait for a transaction.
func callsThatWait(l *boltlog.Log, epoch string) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Append": func(ctx context.Context) error { _, err := l.Append(ctx, ev("a")); return err },
		"Trim":   func(ctx context.Context) error { _, err := l.Trim(ctx, 1); return err },
		"Renew":  func(ctx context.Context) error { _, err := l.Renew(ctx); return err },
		"Open":   func(ctx context.Context) error { _, err := boltlog.Open(ctx, l.DB(), "another", nil); return err },
		"Bounds": func(ctx context.Context) error { _, err := l.Bounds(ctx); return err },
		"Append of nothing": func(ctx context.Context) error {
			_, err := l.Append(ctx)
			return err
		},
		"Read": func(ctx context.Context) error {
			_, err := l.Read(ctx, cdc.Cursor{Epoch: epoch}, 1)
			return err
		},
		"Subscribe": func(ctx context.Context) error { _, err := l.Subscribe(ctx); return err },
	}
}

// TestOpenFileEndsWithContext though the file stays locked for longer.
func TestOpenFileEndsWithContext(t *testing.T) {
	path := newPath(t)
	open(t, path, nil)
	wantCause(t, "OpenFile", func(ctx context.Context) error {
		_, err := boltlog.OpenFile(ctx, path, logName, &boltlog.FileOptions{LockTimeout: time.Minute / 10})
		return err
	})
}

// TestCloseBlockedByTheApplication ends every call at once: nothing of it is
// written after Close has returned.
func TestCloseBlockedByTheApplication(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	appended := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), ev("a"))
		appended <- err
	}()
	time.Sleep(50 * time.Millisecond) // only makes it likely that the append waits
	begin := time.Now()
	if err := l.Close(); err != nil || time.Since(begin) > tooLong {
		t.Errorf("Close: got %v after %v, want nil at once", err, time.Since(begin))
	}
	if err := <-appended; !errors.Is(err, cdc.ErrClosed) || errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Errorf("Append: got %v, want ErrClosed", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if head := bounds(t, on(t, db, logName)).Head; head != 0 {
		t.Errorf("got head %d, want 0", head)
	}
}

// TestCloseOfAFileInUse says so, and the file is closed when the application's
// transaction ends.
func TestCloseOfAFileInUse(t *testing.T) {
	path := newPath(t)
	l, err := boltlog.OpenFile(t.Context(), path, logName, nil)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := l.DB().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	err = l.Close()
	wantErr(t, err, path, "a transaction of the application is still open")
	if took := time.Since(begin); took > 5*time.Second+tooLong {
		t.Errorf("Close took %v, want 5s", took)
	}
	if again := l.Close(); again == nil || again.Error() != err.Error() {
		t.Errorf("second Close: got %v, want %v", again, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	open(t, path, &boltlog.FileOptions{LockTimeout: tooLong})
}

// TestCloseBesideABlockedCommit: an append whose commit has begun, and hangs,
// does not keep Close; its outcome is unknown.
func TestCloseBesideABlockedCommit(t *testing.T) {
	db := newDB(t)
	l, err := boltlog.Open(t.Context(), db, logName, nil)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	appended := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), ev("%s", strings.Repeat("x", 900_000)))
		appended <- err
	}()
	untilReadersWait(db)
	wantErr(t, l.Close(), "under way", "read transaction")
	if err := <-appended; !errors.Is(err, cdc.ErrUnknownOutcome) || !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Append: got %v, want ErrUnknownOutcome and ErrClosed", err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// untilReadersWait returns when a new reader waits, behind a writer that waits
// for a reader in order to enlarge the map.
func untilReadersWait(db *bbolt.DB) {
	for {
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			if tx, err := db.Begin(false); err == nil {
				_ = tx.Rollback()
			}
		}()
		select {
		case <-begun:
			time.Sleep(time.Millisecond)
		case <-time.After(100 * time.Millisecond):
			return
		}
	}
}
