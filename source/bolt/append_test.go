package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// TestExactBytes: what is read is what was appended, after reopening too.
func TestExactBytes(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	want := []cdc.Event{
		{},
		{Data: []byte{}, Meta: map[string]string{}},
		{ID: "id", Topic: "tópic", Type: "type", Key: "ключ", Data: binary, Meta: map[string]string{"a": "1", "": "empty", "b": ""}},
		{ID: strings.Repeat("long", 50_000), Data: []byte(strings.Repeat("x", 70_000))},
		{Type: "a", Key: "bc", Data: []byte("\r\n\x00")},
	}
	before := time.Now().UTC().Truncate(time.Microsecond)
	r, err := l.Append(t.Context(), want...)
	if err != nil {
		t.Fatal(err)
	}
	after := time.Now().UTC()
	if got := fmt.Sprint(r.Seqs); got != "[1 2 3 4 5]" || r.Duplicate || r.Epoch != bounds(t, l).Epoch {
		t.Errorf("got receipt %+v, want seqs 1 to 5 of the log's epoch", r)
	}
	check := func(l *boltlog.Log) (tags []string) {
		for i, got := range all(t, l, 2) {
			tags = append(tags, got.Tag())
			if got.Time.Before(before) || got.Time.After(after) || got.Time.Location() != time.UTC || got.Time.Nanosecond()%1000 != 0 {
				t.Errorf("event %d: got time %v, want whole microseconds UTC from %v to %v", i, got.Time, before, after)
			}
			w := want[i]
			w.Seq, w.Time = uint64(i+1), got.Time
			if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", w); g != w {
				t.Errorf("event %d:\n got %.300s\nwant %.300s", i, g, w)
			}
		}
		return tags
	}
	first := check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if again := check(open(t, path, nil)); len(again) != len(want) || !slices.Equal(first, again) {
		t.Errorf("got tags %q after reopening, want %q", again, first)
	}
}

// TestAppendCopies: neither the argument nor what was read shares memory with the log.
func TestAppendCopies(t *testing.T) {
	l := newLog(t)
	e := ev("good")
	if _, err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e.Data[0] = 'X'
	read := all(t, l, 1)
	add(t, l, strings.Repeat("more", 10_000)) // remaps the file
	wantTexts(t, read, "good")
	read[0].Data[0] = 'Y'
	wantTexts(t, all(t, l, 10)[:1], "good")
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, newPath(t), &boltlog.FileOptions{Options: boltlog.Options{MaxEventBytes: 10}})
	_, err := l.Append(t.Context(), ev("a"), ev("much too long"))
	if large, ok := errors.AsType[*cdc.TooLargeError](err); !ok || large.Index != 1 || large.Max != 10 {
		t.Errorf("got %v, want a TooLargeError of event 1", err)
	}
	_, err = l.Append(t.Context(), ev("a"), cdc.Event{Type: "cdc.x"})
	if _, ok := errors.AsType[*cdc.InvalidEventError](err); !ok {
		t.Errorf("got %v, want an InvalidEventError", err)
	}
	wantErr(t, err, "bolt: append: ")
	if head := bounds(t, l).Head; head != 0 {
		t.Errorf("got head %d after refused appends, want 0", head)
	}
	r, err := l.Append(t.Context())
	if err != nil || r.Epoch == "" || len(r.Seqs) != 0 || r.Duplicate {
		t.Errorf("append of nothing: got %+v, %v; want the epoch alone", r, err)
	}
}

func withID(id, text string) cdc.Event {
	e := ev("%s", text)
	e.ID = id
	return e
}

// TestIdempotent: an ID that is retained is not appended again.
func TestIdempotent(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	long := strings.Repeat("é", 300)
	for i, step := range []struct {
		events    []cdc.Event
		seqs      string
		duplicate bool
	}{
		{[]cdc.Event{withID("a", "1")}, "[1]", false},
		{[]cdc.Event{withID("a", "other")}, "[1]", true},
		{[]cdc.Event{withID("b", "2"), withID("a", "x"), withID("c", "3"), withID("b", "x")}, "[2 1 3 2]", false},
		{[]cdc.Event{withID("c", "x"), withID("b", "x")}, "[3 2]", true},
		{[]cdc.Event{withID(long, "4")}, "[4]", false},
		{[]cdc.Event{withID(long, "x")}, "[4]", true},
		{[]cdc.Event{withID(long+"é", "5"), withID(long+"é", "x")}, "[5 5]", false},
	} {
		r, err := l.Append(t.Context(), step.events...)
		if err != nil || fmt.Sprint(r.Seqs) != step.seqs || r.Duplicate != step.duplicate {
			t.Errorf("step %d: got %v duplicate %v, %v; want %s %v", i, r.Seqs, r.Duplicate, err, step.seqs, step.duplicate)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	wantTexts(t, all(t, l, 100), "1", "2", "3", "4", "5")
	if r, err := l.Append(t.Context(), withID("a", "x")); err != nil || !r.Duplicate {
		t.Errorf("after reopening: got %+v, %v; want a duplicate", r, err)
	}
	if _, err := l.Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if r, err := l.Append(t.Context(), withID("a", "6"), withID("b", "x")); err != nil || fmt.Sprint(r.Seqs) != "[6 2]" {
		t.Errorf("after trimming: got %+v, %v; want seqs 6 (a was forgotten) and 2", r, err)
	}
}

// TestAppendTx: in the caller's transaction or not at all.
func TestAppendTx(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	refused := errors.New("refused by the application")
	err = db.Update(func(tx *bbolt.Tx) error {
		r, err := l.AppendTx(tx, withID("id", "rolled back"), ev("too"))
		if err != nil || fmt.Sprint(r.Seqs) != "[1 2]" {
			t.Errorf("got %+v, %v; want seqs 1 and 2", r, err)
		}
		if b := bounds(t, l); b.Head != 0 {
			t.Errorf("got head %d before the commit, want 0", b.Head)
		}
		return refused
	})
	if !errors.Is(err, refused) || bounds(t, l).Last != 0 || len(all(t, l, 1)) != 0 {
		t.Errorf("after a rollback: got bounds %+v, %v; want an empty log", bounds(t, l), err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := l.AppendTx(tx, withID("id", "a"), ev("b")); err != nil {
			return err
		}
		r, err := l.AppendTx(tx, ev("c"), withID("id", "again"))
		if err == nil && fmt.Sprint(r.Seqs) != "[3 1]" {
			t.Errorf("second append of the transaction: got seqs %v, want [3 1]", r.Seqs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if r, err := l.AppendTx(tx); err != nil || r.Duplicate || len(r.Seqs) != 0 || r.Epoch == "" {
			t.Errorf("append of nothing: got %+v, %v; want the epoch alone", r, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first wake-up is the second transaction's: the rolled-back one had none.
	if events, err := sub.Next(t.Context()); err != nil || len(events) != 0 || bounds(t, l).Head != 3 {
		t.Errorf("Next: got %v, %v at head %d; want a wake-up at head 3", events, err, bounds(t, l).Head)
	}
	wantTexts(t, all(t, l, 1), "a", "b", "c")
}

func TestAppendTxRefuses(t *testing.T) {
	db, other := newDB(t), newDB(t)
	l := on(t, db, logName)
	ended, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Rollback(); err != nil {
		t.Fatal(err)
	}
	_, err = l.AppendTx(ended, ev("a"))
	wantErr(t, err, "bolt: append in a transaction", "has ended")
	_ = db.View(func(tx *bbolt.Tx) error {
		if _, err := l.AppendTx(tx, ev("a")); !errors.Is(err, berrors.ErrTxNotWritable) {
			t.Errorf("read-only transaction: got %v, want ErrTxNotWritable", err)
		}
		return nil
	})
	_ = other.Update(func(tx *bbolt.Tx) error {
		_, err := l.AppendTx(tx, ev("a"))
		wantErr(t, err, "another DB", other.Path(), db.Path())
		return nil
	})
	_ = db.Update(func(tx *bbolt.Tx) error {
		_, err := l.AppendTx(tx, ev("a"), cdc.Event{Type: "cdc.x"})
		wantErr(t, err, "reserved")
		return nil // commits: nothing of the refused call may be in it
	})
	if b := bounds(t, l); b.Head != 0 {
		t.Errorf("got head %d, want 0", b.Head)
	}
}

// TestCancelWhileWaiting: an append that has not begun is withdrawn for
// certain, and takes nobody with it.
func TestCancelWhileWaiting(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	tx, err := db.Begin(true) // holds the write lock
	if err != nil {
		t.Fatal(err)
	}
	mine := errors.New("my cause")
	stays := t.Context()
	ctx, cancel := context.WithCancelCause(t.Context())
	var callers sync.WaitGroup
	cancelled := make(chan error, 3)
	for i := range 6 {
		callers.Go(func() {
			if i%2 == 0 {
				_, err := l.Append(stays, ev("stays"))
				if err != nil {
					t.Errorf("neighbour of a cancelled append: %v", err)
				}
				return
			}
			_, err := l.Append(ctx, ev("cancelled"))
			cancelled <- err
		})
	}
	cancel(mine)
	for range 3 {
		if err := <-cancelled; !errors.Is(err, mine) || errors.Is(err, cdc.ErrUnknownOutcome) {
			t.Errorf("got %v, want the cause of the cancellation", err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	wantTexts(t, all(t, l, 10), "stays", "stays", "stays")
}

// TestUnknownOutcome: a reader of the application stops the writer that has to
// enlarge the map, in the middle of its commit.
func TestUnknownOutcome(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	reader, err := db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	big := withID("big", strings.Repeat("x", 900_000))
	// On a busy machine the commit may not have begun at the deadline: then
	// nothing was appended, and a longer one is tried.
	for patience := 50 * time.Millisecond; patience < 10*time.Second; patience *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = l.Append(ctx, big)
		cancel()
		if errors.Is(err, cdc.ErrUnknownOutcome) {
			break
		}
	}
	if !errors.Is(err, cdc.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnknownOutcome and the deadline", err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(t.Context(), big)
	if err != nil || !r.Duplicate || fmt.Sprint(r.Seqs) != "[1]" {
		t.Errorf("retry: got %+v, %v; want the first result", r, err)
	}
}

// TestFileFull: the one append that does not fit fails, with nothing lost.
func TestFileFull(t *testing.T) {
	db := newDB(t)
	l := on(t, db, logName)
	db.MaxSize = 256 << 10
	tx, err := db.Begin(true) // so that all three share a commit
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i, size := range []int{10, 900_000, 10} {
		callers.Go(func() {
			_, err := l.Append(t.Context(), ev("%s", strings.Repeat("x", size)))
			if full := errors.Is(err, berrors.ErrMaxSizeReached); full != (i == 1) || errors.Is(err, cdc.ErrUnknownOutcome) {
				t.Errorf("append of %d bytes: got %v, want ErrMaxSizeReached only if it is the large one", size, err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // only makes the shared commit likely
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	if b := bounds(t, l); b.Head != 2 || len(all(t, l, 10)) != 2 {
		t.Errorf("got head %d, want the 2 small events", b.Head)
	}
}
