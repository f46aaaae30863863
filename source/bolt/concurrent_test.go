package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

// TestConcurrent: 8 goroutines append batches while a reader reads. Batches
// stay together, each goroutine's are in order, nothing is missing or seen early.
func TestConcurrent(t *testing.T) {
	const writers, batches, size = 8, 60, 3
	l := newLog(t)
	var callers sync.WaitGroup
	for w := range writers {
		callers.Go(func() {
			for b := range batches {
				events := make([]cdc.Event, size)
				for i := range events {
					events[i] = ev("%d %d", w, b*size+i)
				}
				r, err := l.Append(context.Background(), events...)
				if err != nil || r.Seqs[size-1] != r.Seqs[0]+size-1 {
					t.Errorf("got seqs %v, %v; want adjacent ones", r.Seqs, err)
					return
				}
			}
		})
	}
	c := cdc.Cursor{Epoch: bounds(t, l).Epoch}
	var next [writers]int
	for c.Seq < writers*batches*size && !t.Failed() {
		p, err := l.Read(t.Context(), c, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			var w, n int
			if _, err := fmt.Sscan(string(e.Data), &w, &n); err != nil || n != next[w] || e.Seq != c.Seq+1 {
				t.Fatalf("got event %d %q after %d, want number %d of writer %d", e.Seq, e.Data, c.Seq, next[w], w)
			}
			next[w]++
			c = e.Cursor(c.Epoch)
		}
	}
	callers.Wait()
}

// TestCloseBesideAppends: each append is acknowledged and there, or refused,
// and nothing is written after Close has returned.
func TestCloseBesideAppends(t *testing.T) {
	db := newDB(t)
	l, other := on(t, db, logName), on(t, db, logName)
	var acked atomic.Uint64
	started := make(chan struct{}, 8000)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 1000 {
				_, err := l.Append(context.Background(), ev("x"))
				if errors.Is(err, cdc.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				acked.Add(1)
				started <- struct{}{}
			}
		})
	}
	for range 20 {
		<-started
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	closed := bounds(t, other).Head
	callers.Wait()
	if head := bounds(t, other).Head; head != closed || head != acked.Load() {
		t.Errorf("got head %d, %d when Close returned; want the %d acknowledged appends", head, closed, acked.Load())
	}
}
