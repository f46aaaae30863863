package conformance

import (
	"errors"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func immutable(t *trial) {
	log := t.open()
	t.fill(log, 6)
	epoch := t.bounds(log).Epoch
	s := t.follow("live", log, cdc.Beginning, quiet())
	s.live()
	t.fence(log, s)
	first := t.read(log, cdc.Cursor{Epoch: epoch}, 4)
	held := s.got()
	sums := sumsOf(held)
	// Another reader appends to its page and overwrites what is its own.
	mine := t.read(log, cdc.Cursor{Epoch: epoch}, 4)
	mine.Events = append(mine.Events, t.event())
	t.looked()
	again := t.read(log, cdc.Cursor{Epoch: epoch}, 6)
	for i := range again.Events {
		if again.Events[i].Seq == 0 {
			t.fail(verify.Contained, "what one reader appended to its page shows in the page of another")
		}
	}
	pages := [][]cdc.Event{first.Events, again.Events}
	pageSums := [][]uint64{sumsOf(first.Events), sumsOf(again.Events)}
	t.fill(log, 40)
	t.all(log, cdc.Cursor{Epoch: epoch}, 3)
	t.fence(log, s)
	if _, err := t.h.trim(t.ctx, log.Log, t.bounds(log).Head-2); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.broken("Trim", err)
	}
	t.fill(log, 5)
	for i, page := range pages {
		if !slices.Equal(sumsOf(page), pageSums[i]) {
			t.fail(verify.Contained, "a page that was handed out now holds %s", eventsText(page))
		}
	}
	for i, sum := range sumsOf(held) {
		if sum != sums[i] {
			t.fail(verify.Contained, "event %d changed after it was handed out; it is now %+v", held[i].Seq, held[i])
		}
	}
}

func immutableLive(t *trial) {
	log := t.open()
	sub := t.subscribe(log)
	var held []cdc.Event
	var batches [][]cdc.Event
	var sums []uint64
	for n := range 8 {
		t.append(log, t.eventsN(1+n%3)...)
		events, err := t.returns(sub, verify.Live, "something for a committed event")
		if err != nil {
			t.broken("Next", err)
		}
		batches = append(batches, events)
		sums = append(sums, sumsOf(events)...)
	}
	for _, b := range batches {
		held = append(held, b...)
	}
	for i, sum := range sumsOf(held) {
		t.want(sum == sums[i], "an event that Next returned is now event %d", held[i].Seq)
	}
}

func sumsOf(events []cdc.Event) []uint64 {
	sums := make([]uint64, len(events))
	for i, e := range events {
		sums[i] = verify.Sum(e) ^ e.Seq
	}
	return sums
}

func appendCopies(t *trial) {
	log := t.open()
	sub := t.subscribe(log) // which looks only when the argument was changed
	epoch := t.bounds(log).Epoch
	e := t.event()
	want := string(e.Data)
	seq := t.append(log, e).Seqs[0]
	for i := range e.Data {
		e.Data[i] = 'X'
	}
	e.Meta["n"] = "changed"
	live, err := t.returns(sub, verify.Live, "something for a committed event")
	if err != nil {
		t.broken("Next", err)
	}
	for _, e := range append(live, t.all(log, cdc.Cursor{Epoch: epoch, Seq: seq - 1}, 10)...) {
		t.want(string(e.Data) == want && e.Meta["n"] != "changed", "event %d is %s with %v after the caller changed its argument; appended was %s", e.Seq, e.Data, e.Meta, want)
	}
}
