package conformance

import (
	"errors"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func immutable(t *test) {
	log := t.open()
	t.Fill(log, 6)
	epoch := t.Bounds(log).Epoch
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	t.Fence(log, s)
	first := t.Read(log, cdc.Cursor{Epoch: epoch}, 4)
	held := s.Events()
	sums := sumsOf(held)
	// Another reader appends to its page and overwrites what is its own.
	mine := t.Read(log, cdc.Cursor{Epoch: epoch}, 4)
	mine.Events = append(mine.Events, t.Event())
	t.Checked()
	again := t.Read(log, cdc.Cursor{Epoch: epoch}, 6)
	for i := range again.Events {
		if again.Events[i].Seq == 0 {
			t.Fail(verify.Contained, "what one reader appended to its page shows in the page of another")
		}
	}
	pages := [][]cdc.Event{first.Events, again.Events}
	pageSums := [][]uint64{sumsOf(first.Events), sumsOf(again.Events)}
	t.Fill(log, 40)
	t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 3)
	t.Fence(log, s)
	if _, err := t.h.trim(t.Ctx, log.Log, t.Bounds(log).Head-2); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.StoreFailed("Trim", err)
	}
	t.Fill(log, 5)
	for i, page := range pages {
		if !slices.Equal(sumsOf(page), pageSums[i]) {
			t.Fail(verify.Contained, "a page that was handed out now holds %s", trial.EventsText(page))
		}
	}
	for i, sum := range sumsOf(held) {
		if sum != sums[i] {
			t.Fail(verify.Contained, "event %d changed after it was handed out; it is now %+v", held[i].Seq, held[i])
		}
	}
}

func immutableLive(t *test) {
	log := t.open()
	sub := t.Subscribe(log)
	var held []cdc.Event
	var batches [][]cdc.Event
	var sums []uint64
	for n := range 8 {
		t.Append(log, t.Events(1+n%3)...)
		events, err := t.Next(sub, verify.Live, "something for a committed event")
		if err != nil {
			t.StoreFailed("Next", err)
		}
		batches = append(batches, events)
		sums = append(sums, sumsOf(events)...)
	}
	for _, b := range batches {
		held = append(held, b...)
	}
	for i, sum := range sumsOf(held) {
		t.Want(sum == sums[i], "an event that Next returned is now event %d", held[i].Seq)
	}
}

func sumsOf(events []cdc.Event) []uint64 {
	sums := make([]uint64, len(events))
	for i, e := range events {
		sums[i] = verify.Sum(e) ^ e.Seq
	}
	return sums
}

func appendCopies(t *test) {
	log := t.open()
	sub := t.Subscribe(log) // which looks only when the argument was changed
	epoch := t.Bounds(log).Epoch
	e := t.Event()
	want := string(e.Data)
	seq := t.Append(log, e).Seqs[0]
	for i := range e.Data {
		e.Data[i] = 'X'
	}
	e.Meta["n"] = "changed"
	live, err := t.Next(sub, verify.Live, "something for a committed event")
	if err != nil {
		t.StoreFailed("Next", err)
	}
	for _, e := range append(live, t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: seq - 1}, 10)...) {
		t.Want(string(e.Data) == want && e.Meta["n"] != "changed", "event %d is %s with %v after the caller changed its argument; appended was %s", e.Seq, e.Data, e.Meta, want)
	}
}
