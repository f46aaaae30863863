package boltlog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// TestReadEveryCursorAndLimit of 11 events, 3 of them trimmed.
func TestReadEveryCursorAndLimit(t *testing.T) {
	const floor, head = 3, 11
	l := newLog(t)
	for i := range head {
		add(t, l, fmt.Sprint(i+1))
	}
	if _, err := l.Trim(t.Context(), floor); err != nil {
		t.Fatal(err)
	}
	epoch := bounds(t, l).Epoch
	for seq := uint64(floor); seq <= head; seq++ {
		for limit := 1; limit <= head+1; limit++ {
			p, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: seq}, limit)
			want := min(uint64(limit), head-seq)
			if err != nil || uint64(len(p.Events)) != want || p.Next != seq+want {
				t.Fatalf("after %d limit %d: got %d events, next %d, %v; want %d events", seq, limit, len(p.Events), p.Next, err, want)
			}
			for i, e := range p.Events {
				if e.Seq != seq+uint64(i)+1 || string(e.Data) != fmt.Sprint(e.Seq) {
					t.Fatalf("after %d: got event %d %q at %d", seq, e.Seq, e.Data, i)
				}
			}
		}
	}
}

// TestReadResets: what cannot be resumed is an error of this very call.
func TestReadResets(t *testing.T) {
	l := newLog(t)
	add(t, l, "a", "b", "c", "d")
	events := all(t, l, 10)
	if _, err := l.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	epoch := bounds(t, l).Epoch
	good := events[2].Cursor(epoch)
	for _, tc := range []struct {
		name  string
		after cdc.Cursor
		want  cdc.Reason
	}{
		{"another epoch", cdc.Cursor{Epoch: "other", Seq: 3}, cdc.ReasonForeign},
		{"below the floor", events[0].Cursor(epoch), cdc.ReasonTruncated},
		{"at the floor", events[1].Cursor(epoch), ""},
		{"in the log", good, ""},
		{"another event's tag", cdc.Cursor{Epoch: epoch, Seq: 4, Tag: good.Tag}, cdc.ReasonDiverged},
		{"at the head", events[3].Cursor(epoch), ""},
		{"above the head", cdc.Cursor{Epoch: epoch, Seq: 5}, cdc.ReasonFuture},
		{"far above", cdc.Cursor{Epoch: epoch, Seq: 1<<64 - 1}, cdc.ReasonFuture},
	} {
		p, err := l.Read(t.Context(), tc.after, 10)
		reset, ok := errors.AsType[*cdc.ResetError](err)
		switch {
		case tc.want == "" && (err != nil || p.Next != 4):
			t.Errorf("%s: got next %d, %v; want next 4", tc.name, p.Next, err)
		case tc.want != "" && (!ok || reset.Reason != tc.want || reset.Floor != 2 || reset.Head != 4):
			t.Errorf("%s: got %v, want reason %s with floor 2 and head 4", tc.name, err, tc.want)
		}
	}
}

// TestReadPageBytes: a page ends with the event that reaches 1 MiB.
func TestReadPageBytes(t *testing.T) {
	l := newLog(t)
	part := strings.Repeat("x", cdc.PageBytes/4-4) // and "test", the type
	add(t, l, part, part, part, part, part, strings.Repeat("y", cdc.PageBytes-4), "z")
	epoch := bounds(t, l).Epoch
	seq := uint64(0)
	for _, want := range []int{4, 2, 1} {
		p, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: seq}, 100)
		if err != nil || len(p.Events) != want || p.Next != seq+uint64(want) {
			t.Errorf("after %d: got %d events, next %d, %v; want %d", seq, len(p.Events), p.Next, err, want)
		}
		seq = p.Next
	}
}

// TestEndedContext: nothing is done for a caller who has gone.
func TestEndedContext(t *testing.T) {
	l := newLog(t)
	after := cdc.Cursor{Epoch: bounds(t, l).Epoch}
	mine := errors.New("my cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(mine)
	for name, call := range map[string]func() error{
		"Append":    func() error { _, err := l.Append(ctx, ev("b")); return err },
		"Read":      func() error { _, err := l.Read(ctx, after, 1); return err },
		"Bounds":    func() error { _, err := l.Bounds(ctx); return err },
		"Subscribe": func() error { _, err := l.Subscribe(ctx); return err },
		"Trim":      func() error { _, err := l.Trim(ctx, 1); return err },
		"Renew":     func() error { _, err := l.Renew(ctx); return err },
	} {
		if err := call(); !errors.Is(err, mine) {
			t.Errorf("%s with an ended ctx: got %v, want its cause", name, err)
		}
	}
	if b := bounds(t, l); b != (cdc.Bounds{Epoch: after.Epoch}) {
		t.Errorf("got bounds %+v, want those of an empty log of epoch %s", b, after.Epoch)
	}
}

// TestDamagedRecord: an error that names the event, never a skip or a panic.
func TestDamagedRecord(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	if _, err := l.Append(t.Context(), cdc.Event{ID: "id", Type: "t", Data: []byte("abc"), Meta: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	key := binary.BigEndian.AppendUint64(nil, 1)
	var good []byte
	put := func(value []byte) {
		t.Helper()
		err := db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(logName)).Bucket([]byte("events"))
			if good == nil {
				good = append(good, b.Get(key)...)
			}
			return b.Put(key, value)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(nil)
	after := cdc.Cursor{Epoch: bounds(t, l).Epoch}
	damaged := [][]byte{append(append([]byte{}, good...), 0), append([]byte{2}, good[1:]...)}
	for n := range good {
		damaged = append(damaged, good[:n])
	}
	for i := 9; i < 17; i++ { // the lengths
		d := append([]byte{}, good...)
		d[i] = 0xff
		damaged = append(damaged, d)
	}
	for _, d := range damaged {
		put(d)
		_, err := l.Read(t.Context(), after, 1)
		wantErr(t, err, "bolt: read: event 1", "damaged", "backup")
	}
	put(nil)
	_, err := l.Trim(t.Context(), 1)
	wantErr(t, err, "bolt: trim: event 1", "damaged")
	put(good)
	if p, err := l.Read(t.Context(), after, 1); err != nil || string(p.Events[0].Data) != "abc" {
		t.Errorf("undamaged again: got %+v, %v", p, err)
	}
}
