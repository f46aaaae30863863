package sqllog_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// each runs a test on every dialect and mode, side by side: each has a database
// of its own, and most of the time is waiting.
func each(t *testing.T, test func(t *testing.T, v variant)) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

func TestAppendedEventsAreReadBack(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, _ := v.fresh(t)
		events := []cdc.Event{
			{ID: "a ", Topic: "t 'x'", Type: "order.created", Key: "k\\\"", Data: []byte("\x00\xff\\ '"), Meta: map[string]string{"ü": "<&>\u2028"}},
			{Data: []byte{}},
			{ID: "a", Key: "\u0001🙂"},
		}
		r, err := l.Append(t.Context(), events...)
		if err != nil {
			t.Fatal(err)
		}
		got := readAll(t, l, cdc.Cursor{Epoch: r.Epoch})
		if len(got) != len(events) {
			t.Fatalf("got %d events, want %d", len(got), len(events))
		}
		for i, e := range got {
			want := events[i]
			want.Seq, want.Time = r.Seqs[i], e.Time
			if len(want.Data) == 0 {
				e.Data, want.Data = nil, nil
			}
			if !reflect.DeepEqual(e, want) {
				t.Errorf("event %d:\ngot  %+v\nwant %+v", i, e, want)
			}
			if age := time.Since(e.Time); age < -time.Minute || age > time.Minute {
				t.Errorf("event %d has the time %v", i, e.Time)
			}
			if _, err := l.Read(t.Context(), e.Cursor(r.Epoch), 10); err != nil {
				t.Errorf("resume after event %d: %v", i, err)
			}
		}
	})
}

func TestAppendTxExistsWhenItsTransactionCommits(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		epoch := epochOf(t, l)
		for _, commit := range []bool{false, true} {
			tx, err := db.BeginTxx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.AppendTx(t.Context(), tx, cdc.Event{Type: fmt.Sprint(commit)}, cdc.Event{Type: "second"}); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 0 {
				t.Fatalf("events of an open transaction are visible: %v", got)
			}
			if commit {
				err = tx.Commit()
			} else {
				err = tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got := readAll(t, l, cdc.Cursor{Epoch: epoch})
		if len(got) != 2 || got[0].Type != "true" || got[1].Type != "second" {
			t.Fatalf("got %v, want the two events of the committed transaction", got)
		}
	})
}

func TestAppendWithAKnownIDReturnsTheFirst(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		first, err := l.Append(t.Context(), cdc.Event{ID: "x"}, cdc.Event{ID: "y"}, cdc.Event{ID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if first.Duplicate || first.Seqs[0] != first.Seqs[2] || first.Seqs[0] == first.Seqs[1] {
			t.Errorf("got %+v, want the third to be the first", first)
		}
		again, err := l.Append(t.Context(), cdc.Event{ID: "y"}, cdc.Event{ID: "x"})
		if err != nil || !again.Duplicate || again.Seqs[0] != first.Seqs[1] || again.Seqs[1] != first.Seqs[0] {
			t.Errorf("got %+v, %v, want a duplicate of %+v", again, err, first)
		}
		tx := db.MustBegin()
		if err := l.AppendTx(t.Context(), tx, cdc.Event{ID: "y"}, cdc.Event{ID: "z"}, cdc.Event{ID: "z"}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range readAll(t, l, cdc.Cursor{Epoch: first.Epoch}) {
			ids = append(ids, e.ID)
		}
		if want := []string{"x", "y", "z"}; !reflect.DeepEqual(ids, want) {
			t.Errorf("got IDs %v, want %v", ids, want)
		}
	})
}

// TestNamesMayLookLikeParameters: numbers are written into the statements.
func TestNamesMayLookLikeParameters(t *testing.T) {
	for _, v := range variants[:4] {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			l := openNamed(t, connect(t, driver, dsn), "a$1b$2c%d", v.opts)
			r, err := l.Append(t.Context(), cdc.Event{ID: "?$1"}, cdc.Event{Type: "$2"})
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, l, cdc.Cursor{Epoch: r.Epoch}); len(got) != 2 || got[0].ID != "?$1" || got[1].Type != "$2" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTrimKeepsFloorAndHead(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		r, err := l.Append(t.Context(), make([]cdc.Event, 2500)...)
		if err != nil {
			t.Fatal(err)
		}
		n, err := l.Trim(t.Context(), r.Seqs[2399])
		if err != nil || n != 2400 {
			t.Fatalf("Trim removed %d, %v, want 2400", n, err)
		}
		if n, err := l.Trim(t.Context(), 1<<63+5); err != nil || n != 100 {
			t.Fatalf("Trim removed %d, %v, want the other 100", n, err)
		}
		b, err := l.Bounds(t.Context())
		want := cdc.Bounds{Epoch: r.Epoch, Floor: r.Seqs[2499], Head: r.Seqs[2499], Last: r.Seqs[2499]}
		if err != nil || b != want {
			t.Errorf("got %+v, %v, want %+v", b, err, want)
		}
		_, err = l.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: 17}, 10)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonTruncated || reset.Floor != want.Floor {
			t.Errorf("got %v, want a truncated reset", err)
		}
		next, err := openLog(t, db, v.opts).Append(t.Context(), cdc.Event{})
		if err != nil || next.Seqs[0] <= want.Last {
			t.Errorf("got %+v, %v, want a seq above %d", next, err, want.Last)
		}
	})
}

func TestAnotherHandleWakesASubscription(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		driver, dsn := v.open(t)
		l := openLog(t, connect(t, driver, dsn), v.opts)
		other := openLog(t, connect(t, driver, dsn), v.opts)
		sub, err := l.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		epoch := epochOf(t, l)
		for i := range 20 {
			r, err := other.Append(t.Context(), cdc.Event{})
			if err != nil {
				t.Fatal(err)
			}
			for {
				if _, err := sub.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) == i+1 && got[i].Seq == r.Seqs[0] {
					break
				}
			}
		}
		if _, err := other.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = sub.Next(t.Context())
		}
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonEpochChanged {
			t.Errorf("got %v, want a reset because the epoch changed", err)
		}
	})
}
