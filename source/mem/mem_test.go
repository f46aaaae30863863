package memlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func Example() {
	log := memlog.New(nil)
	defer log.Close()
	ctx := context.Background()
	if _, err := log.Append(ctx, cdc.Event{Type: "greeting", Data: []byte("hello")}); err != nil {
		fmt.Println(err)
	}
	for batch, err := range cdc.Follow(ctx, log, cdc.Beginning(), nil) {
		if err != nil {
			fmt.Println(err)
		}
		for _, e := range batch.Events {
			fmt.Printf("%d %s %s\n", e.Seq, e.Type, e.Data)
		}
		if batch.State == cdc.Live {
			break
		}
	}
	// Output: 1 greeting hello
}

// read returns all seqs, and where the page ends.
func read(t *testing.T, log *memlog.Log) (seqs []uint64, next uint64) {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		seqs = append(seqs, e.Seq)
	}
	return seqs, page.Next
}

func TestOverlappingTransactions(t *testing.T) {
	log := memlog.New(nil)
	defer log.Close()
	a, _ := log.Begin(t.Context())
	b, _ := log.Begin(t.Context())
	c, _ := log.Begin(t.Context())
	for i, tx := range []*memlog.Tx{a, b, c, a} { // a has 1 and 4, b 2, c 3
		if r, err := tx.Append(t.Context(), cdc.Event{}); err != nil || r.Seqs[0] != uint64(i+1) {
			t.Fatalf("Append = %+v, %v", r, err)
		}
	}
	steps := []struct {
		do   func() error
		want []uint64
		next uint64
	}{
		{c.Commit, nil, 0},
		{b.Rollback, nil, 0},
		{a.Commit, []uint64{1, 3, 4}, 4},
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, next := read(t, log); !slices.Equal(got, step.want) || next != step.next {
			t.Errorf("after step %d: %v next %d, want %v next %d", i, got, next, step.want, step.next)
		}
	}
	for _, end := range []func() error{a.Commit, b.Rollback, c.Commit} {
		if err := end(); !errors.Is(err, memlog.ErrDone) {
			t.Errorf("ended twice: %v", err)
		}
	}
}

func TestTransactionBecomesVisibleWhole(t *testing.T) {
	log := memlog.New(nil)
	defer log.Close()
	a, _ := log.Begin(t.Context())
	b, _ := log.Begin(t.Context())
	for _, tx := range []*memlog.Tx{a, b, a} {
		if _, err := tx.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, next := read(t, log); len(got) > 0 || next != 0 {
		t.Errorf("%v next %d of a transaction that has committed 1 and 3, while 2 is undecided: want none yet", got, next)
	}
	if err := b.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got, next := read(t, log); !slices.Equal(got, []uint64{1, 3}) || next != 3 {
		t.Errorf("%v next %d, want 1 and 3 next 3", got, next)
	}
}

func TestIDsInTransactions(t *testing.T) {
	log := memlog.New(nil)
	defer log.Close()
	same := cdc.Event{ID: "same"}
	lost, _ := log.Begin(t.Context())
	if _, err := lost.Append(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	first, err := log.Append(t.Context(), same, same)
	if err != nil || first.Duplicate || first.Seqs[0] != first.Seqs[1] {
		t.Errorf("an open transaction's ID counts already: %+v, %v", first, err)
	}
	if err := lost.Commit(); err == nil {
		t.Error("one ID was committed twice")
	}
	again, err := log.Append(t.Context(), same)
	if err != nil || !again.Duplicate || again.Seqs[0] != first.Seqs[0] {
		t.Errorf("appended again: %+v, %v, want %v", again, err, first.Seqs)
	}
	if got, _ := read(t, log); !slices.Equal(got, first.Seqs[:1]) {
		t.Errorf("the log has %v", got)
	}
	if _, err := log.Trim(t.Context(), first.Seqs[0]); err != nil {
		t.Fatal(err)
	}
	if r, err := log.Append(t.Context(), same); err != nil || r.Duplicate {
		t.Errorf("an ID outlives its event: %+v, %v", r, err)
	}
}

func TestFilterIsPushedDown(t *testing.T) {
	log := memlog.New(nil)
	defer log.Close()
	for i := range 10 {
		if _, err := log.Append(t.Context(), cdc.Event{Type: fmt.Sprint(i % 3)}); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := log.Bounds(t.Context())
	f := cdc.Filter{Types: []string{"1"}} // events 2, 5 and 8
	page, err := log.ReadFiltered(t.Context(), cdc.Cursor{Epoch: b.Epoch}, 2, f)
	if err != nil || len(page.Events) != 2 || page.Events[1].Seq != 5 || page.Next != 7 {
		t.Errorf("page = %+v, %v, want 2 and 5 up to 7", page, err)
	}
	page, err = log.ReadFiltered(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: page.Next}, 2, f)
	if err != nil || len(page.Events) != 1 || page.Next != 10 {
		t.Errorf("page = %+v, %v, want 8 up to the head", page, err)
	}
}
