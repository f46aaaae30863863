package boltlog_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// TestFollow over the log and over a Hub, beside Append and AppendTx: every event once, in order.
func TestFollow(t *testing.T) {
	const writers, each = 4, 100
	db := newDB(t)
	l := on(t, db, logName)
	hub, err := cdc.NewHub(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for name, log := range map[string]cdc.Log{"log": l, "hub": hub} {
		all.Go(func() { followDense(ctx, t, name, log, writers*each) })
	}
	for w := range writers {
		all.Go(func() {
			for n := range each {
				var err error
				if e := ev("%d %d", w, n); n%2 == 0 {
					_, err = l.Append(t.Context(), e)
				} else {
					err = db.Update(func(tx *bbolt.Tx) error {
						_, err := l.AppendTx(tx, e)
						return err
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// followDense follows until the last seq, and wants each up to it once.
func followDense(ctx context.Context, t *testing.T, name string, log cdc.Log, last uint64) {
	t.Helper()
	seen := uint64(0)
	for batch, err := range cdc.Follow(ctx, log, cdc.Beginning(), nil) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, e := range batch.Events {
			if seen++; e.Seq != seen {
				t.Errorf("%s: got event %d, want %d", name, e.Seq, seen)
			}
		}
		if seen == last {
			return
		}
	}
}

// TestNoReadTransactionIsHeld while a page is delivered.
func TestNoReadTransactionIsHeld(t *testing.T) {
	l := newLog(t)
	for i := range 5 {
		add(t, l, fmt.Sprint(i))
	}
	n := 0
	for batch, err := range cdc.Follow(t.Context(), l, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if open := l.DB().Stats().OpenTxN; open != 0 {
			t.Errorf("at %v: %d read transactions are open, want none", batch.Cursor, open)
		}
		if n += len(batch.Events); n == 5 {
			return
		}
	}
}
