package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// never is longer than any test.
const never = 1000 * time.Hour

// unpolled is a log whose subscriptions only wake-ups can wake.
func unpolled(t *testing.T) *boltlog.Log {
	return open(t, newPath(t), &boltlog.FileOptions{Options: boltlog.Options{PollInterval: never}})
}

// TestSubscribeTakesEffectAtOnce: a commit right after Subscribe ends Next,
// many commits end it once, and none is reported that was there before.
func TestSubscribeTakesEffectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := unpolled(t)
		add(t, l, "before")
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close() }()
		add(t, l, "a")
		add(t, l, "b")
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() {
			_, err := sub.Next(t.Context())
			woken <- err
		}()
		synctest.Wait()
		select {
		case err := <-woken:
			t.Errorf("Next returned %v though nothing is new", err)
		default:
		}
		add(t, l, "c")
		if err := <-woken; err != nil {
			t.Error(err)
		}
	})
}

// TestAppendTxWakes after the commit, not before: a follower that looked too
// early would wait for ever. A rollback wakes nobody.
func TestAppendTxWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := unpolled(t)
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close() }()
		woken := make(chan error, 1)
		go func() {
			_, err := sub.Next(t.Context())
			woken <- err
		}()
		for _, result := range []error{errors.New("roll back"), nil} {
			err := l.DB().Update(func(tx *bbolt.Tx) error {
				if _, err := l.AppendTx(tx, ev("a")); err != nil {
					t.Error(err)
				}
				synctest.Wait() // the follower has done what it can do by now
				if len(woken) > 0 {
					t.Error("Next returned before the commit")
				}
				return result
			})
			if !errors.Is(err, result) {
				t.Fatal(err)
			}
		}
		if err := <-woken; err != nil {
			t.Error(err)
		}
	})
}

// TestIdlePolling returns nothing: a subscription that looks into the file
// reports only what has changed.
func TestIdlePolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v, want the deadline after a minute", err, time.Since(begin))
		}
	})
}

// TestNextEndsWithContext and consumes nothing.
func TestNextEndsWithContext(t *testing.T) {
	for _, poll := range []time.Duration{never, time.Second, time.Microsecond} {
		l := open(t, newPath(t), &boltlog.FileOptions{Options: boltlog.Options{PollInterval: poll}})
		ctx, cancel := context.WithCancel(t.Context())
		sub, err := l.Subscribe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel() // ends neither the subscription nor what it is owed
		add(t, l, "a")
		if _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("poll %v: got %v, want Canceled", poll, err)
		}
		if _, err := sub.Next(t.Context()); err != nil {
			t.Errorf("poll %v: got %v, want the wake-up", poll, err)
		}
		if err := errors.Join(sub.Close(), sub.Close()); err != nil {
			t.Error(err)
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("poll %v: got %v after Close, want ErrClosed", poll, err)
		}
	}
}

// TestTwoHandles on one DB: each sees at once what the other acknowledged, and
// its followers are woken, by a Renew too.
func TestTwoHandles(t *testing.T) {
	db := newDB(t)
	a, b := on(t, db, "x"), on(t, db, "x")
	sub, err := b.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	for i := range uint64(3) {
		if r := add(t, a, fmt.Sprint("a", i)); r.Seqs[0] != 2*i+1 {
			t.Errorf("got seq %d, want %d", r.Seqs[0], 2*i+1)
		}
		if _, err := sub.Next(t.Context()); err != nil || bounds(t, b).Head != 2*i+1 {
			t.Errorf("Next: got %v at head %d, want a wake-up at %d", err, bounds(t, b).Head, 2*i+1)
		}
		add(t, b, fmt.Sprint("b", i))
		if _, err := sub.Next(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantTexts(t, all(t, a, 10), "a0", "b0", "a1", "b1", "a2", "b2")
	epoch, err := a.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = sub.Next(t.Context())
	if r, ok := errors.AsType[*cdc.ResetError](err); !ok || r.Resume.Epoch != epoch {
		t.Errorf("Next after a Renew by the other: got %v, want the reset to %s", err, epoch)
	}
}
