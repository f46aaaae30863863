package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// TestIdleLogsShareALook: logs that are followed and silent cost as many
// transactions as one.
func TestIdleLogsShareALook(t *testing.T) {
	const logs, poll, looks = 50, 5 * time.Millisecond, 20
	db, s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	defer func() {
		cancel()
		waiting.Wait()
	}()
	for i := range logs {
		l, err := s.Open(t.Context(), fmt.Sprint("log", i), &boltlog.Options{PollInterval: poll})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() {
			if _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("log %d: got %v, want nothing new", i, err)
			}
			_ = sub.Close()
		})
	}
	time.Sleep(10 * poll) // all have looked once
	before := db.Stats()
	time.Sleep(looks * poll)
	after := db.Stats()
	if n := after.TxN - before.TxN; n > 2*looks {
		t.Errorf("%d logs began %d transactions in %d intervals, want one for all", logs, n, looks)
	}
}

// TestAnotherStoreIsNoticed by each log that it changes, also one that was opened
// when others had no need to look soon.
func TestAnotherStoreIsNoticed(t *testing.T) {
	db, s := newStore(t)
	_ = in(t, s, "seldom")
	l, err := s.Open(t.Context(), "often", &boltlog.Options{PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	other := on(t, db, "often")
	for i := range 3 {
		time.Sleep(12 * time.Millisecond) // it waits
		if _, err := other.Append(t.Context(), ev("%d", i)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := sub.Next(ctx); err != nil {
			t.Fatalf("append %d: got %v, want the wake-up", i, err)
		}
		cancel()
	}
	if _, err := other.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := sub.Next(ctx); !isReset(err) {
		t.Errorf("another epoch: got %v, want a reset", err)
	}
}
