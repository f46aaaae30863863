package boltlog_test

import (
	"errors"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// fill appends n events with IDs in one transaction.
func fill(t *testing.T, l cdc.Appender, n int) {
	t.Helper()
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = ev("%d", i)
		events[i].ID = string(events[i].Data)
	}
	if _, err := l.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

// TestTrim around the size of a transaction; floor and head survive reopening
// an empty log, and no seq is used twice.
func TestTrim(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	fill(t, l, 4500)
	epoch := bounds(t, l).Epoch
	for _, step := range []struct{ seq, removed, floor uint64 }{
		{0, 0, 0},
		{1, 1, 1},
		{1, 0, 1},
		{1000, 999, 1000},
		{2000, 1000, 2000},
		{3001, 1001, 3001},
		{2, 0, 3001},
		{1 << 63, 1499, 4500},
		{1 << 63, 0, 4500},
	} {
		removed, err := l.Trim(t.Context(), step.seq)
		want := cdc.Bounds{Epoch: epoch, Floor: step.floor, Head: 4500, Last: 4500}
		if got := bounds(t, l); err != nil || uint64(removed) != step.removed || got != want {
			t.Errorf("Trim(%d): got %d removed, %+v, %v; want %d, %+v", step.seq, removed, got, err, step.removed, want)
		}
		if got := len(all(t, l, 1000)); got != 4500-int(step.floor) {
			t.Errorf("after Trim(%d): got %d events, want %d", step.seq, got, 4500-step.floor)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	if got, want := bounds(t, l), (cdc.Bounds{Epoch: epoch, Floor: 4500, Head: 4500, Last: 4500}); got != want {
		t.Errorf("after reopening: got %+v, want %+v", got, want)
	}
	if r := add(t, l, "next"); r.Seqs[0] != 4501 {
		t.Errorf("got seq %d, want 4501", r.Seqs[0])
	}
	err := l.DB().View(func(tx *bbolt.Tx) error {
		if n := tx.Bucket([]byte(logName)).Bucket([]byte("ids")).Stats().KeyN; n != 0 {
			t.Errorf("got %d IDs in the index, want none: their events are gone", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTrimInTransactions: each commit on the way removed at most 1,000 events
// and left a floor that fits; appends get between.
func TestTrimInTransactions(t *testing.T) {
	l := newLog(t)
	fill(t, l, 5000)
	epoch := bounds(t, l).Epoch
	var trim sync.WaitGroup
	trim.Go(func() {
		if removed, err := l.Trim(t.Context(), 5000); err != nil || removed != 5000 {
			t.Errorf("got %d removed, %v; want 5000", removed, err)
		}
	})
	for floor := uint64(0); floor < 5000; {
		b := bounds(t, l)
		if b.Floor%1000 != 0 || b.Floor < floor {
			t.Errorf("got floor %d after %d, want a later multiple of 1000", b.Floor, floor)
		}
		floor = b.Floor
		p, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: floor}, 1)
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
			if reset.Reason != cdc.ReasonTruncated || reset.Floor <= floor {
				t.Errorf("got %v, want truncated by a higher floor than %d", err, floor)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Events) > 0 && p.Events[0].Seq != floor+1 {
			t.Errorf("got event %d after floor %d", p.Events[0].Seq, floor)
		}
	}
	trim.Wait()
}

// TestRenew: older cursors are foreign, events and seqs stay, an open
// subscription gets the reset.
func TestRenew(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	add(t, l, "a", "b")
	old := bounds(t, l)
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	epoch, err := l.Renew(t.Context())
	want := cdc.Bounds{Epoch: epoch, Head: 2, Last: 2}
	if got := bounds(t, l); err != nil || epoch == old.Epoch || got != want {
		t.Errorf("got %+v, %v; want %+v, not %s", got, err, want, old.Epoch)
	}
	for range 2 { // final: it stays
		_, err = sub.Next(t.Context())
		if r, ok := errors.AsType[*cdc.ResetError](err); !ok || r.Reason != cdc.ReasonEpochChanged || r.Resume != (cdc.Cursor{Epoch: epoch, Seq: 2}) {
			t.Errorf("Next: got %v, want epoch-changed and a resume after 2 of %s", err, epoch)
		}
	}
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: old.Epoch, Seq: 1}, 1)
	if r, ok := errors.AsType[*cdc.ResetError](err); !ok || r.Reason != cdc.ReasonForeign {
		t.Errorf("Read with the old epoch: got %v, want foreign", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	if r := add(t, l, "c"); r.Epoch != epoch || r.Seqs[0] != 3 {
		t.Errorf("after reopening: got %+v, want seq 3 of epoch %s", r, epoch)
	}
	wantTexts(t, all(t, l, 10), "a", "b", "c")
}
