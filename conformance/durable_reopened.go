package conformance

import (
	"fmt"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func reopenedCases() []Case {
	g := verify.Durable
	reopen := []need{needReopen}
	crash := []need{needReopen, needCrash}
	return []Case{
		{Guarantee: g, Situation: "ReopenRolledBack", Sentence: "head, last and seqs survive reopening when the newest seqs are those of a rollback, also when everything below was trimmed", needs: []need{needReopen, needBegin}, run: reopenRolledBack},
		{Guarantee: g, Situation: "ReopenUndecided", Sentence: "an append that an older transaction held back is there after reopening, nothing of that transaction is", needs: []need{needReopen, needThree}, run: reopenUndecided},
		{Guarantee: g, Situation: "ReopenOften", Sentence: "reopening without anything between changes nothing, however often, and IDs, cursors and appends work after it", needs: reopen, run: reopenOften},
		{Guarantee: g, Situation: "ReopenExact", Sentence: "texts of every kind, empty fields, no data and the zone of times are after reopening what they were before, up to the last event", needs: reopen, run: reopenExact},
		{Guarantee: g, Situation: "KilledAppending", Sentence: "a process kills itself wherever an Append of several looks at its context: all of them are there, or none, and the retry adds them once", needs: crash, run: killedAppending, real: true},
		{Guarantee: g, Situation: "KilledTrimming", Sentence: "the same in a Trim: what is gone is below the floor", needs: crash, run: killedTrimming, real: true},
		{Guarantee: g, Situation: "KilledRenewing", Sentence: "the same in a Renew: the epoch is the old one or another, and nothing else has changed", needs: crash, run: killedRenewing, real: true},
	}
}

// reopenExact ends the log with one odd event after the other.
func reopenExact(t *test) {
	log := t.open()
	var odd []cdc.Event
	for _, text := range texts() {
		odd = append(odd, cdc.Event{Topic: text, Type: text, Key: text, Data: []byte(text), Meta: map[string]string{text: text}})
	}
	t.Append(log, odd...)
	for _, e := range []cdc.Event{{}, {Topic: "t"}, {Type: "t"}, {Key: "k"}, {Data: []byte{0}}, {Meta: map[string]string{"": ""}}, {ID: "i"}} {
		time.Sleep(1_234_567)
		t.Append(log, e)
		epoch := t.Bounds(log).Epoch
		before := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000)
		log = t.reopen(log)
		after := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000)
		t.SameSeqs(verify.Durable, trial.SeqsOf(after), trial.SeqsOf(before), "read after reopening a log that ended with %+v", e)
		for i := range after {
			t.Want(verify.Sum(after[i]) == verify.Sum(before[i]) && after[i].Time.Location() == time.UTC, "before reopening event %d was %+v, after it %+v", before[i].Seq, before[i], after[i])
		}
	}
}

// reopenRolledBack leaves a hole at the end of the log before it is closed.
func reopenRolledBack(t *test) {
	log := t.open()
	for n := range 4 {
		seqs := t.Fill(log, 2)
		tx := t.Begin(log)
		tx.Append(1 + n%3)
		tx.Rollback()
		if n%2 == 1 {
			t.trim(log, lastOf(seqs))
		}
		if n == 3 {
			t.trim(log, t.Bounds(log).Head)
		}
		b := t.Bounds(log)
		held := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 100)
		log = t.reopen(log)
		t.reopenedBounds(b, t.Bounds(log))
		for _, seq := range []uint64{b.Head, b.Last} {
			page, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seq}, 10)
			t.Want(err == nil && len(page.Events) == 0, "a cursor at %d, which the log had told before it was reopened (%+v): %s", seq, b, trial.PageText(page, err))
		}
		got := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 100)
		t.Want(slices.Equal(sumsOf(held), sumsOf(got)), "before reopening the log held %s, after it %s", trial.EventsText(held), trial.EventsText(got))
		seq := t.Append(log, t.Event()).Seqs[0]
		t.Want(seq > b.Last, "the first append after reopening got the seq %d, the last one before was %d", seq, b.Last)
	}
	t.Record(log)
}

func reopenUndecided(t *test) {
	log := t.open()
	for range 2 {
		t.Fill(log, 1)
		start := t.Bounds(log)
		older := t.Begin(log)
		older.Append(2)
		newer := t.Append(log, t.Events(2)...)
		older.Rollback()
		b := t.Bounds(log)
		log = t.reopen(log)
		t.reopenedBounds(b, t.Bounds(log))
		got := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: start.Head}, 100)
		t.SameSeqs(verify.Durable, trial.SeqsOf(got), newer.Seqs, "read after reopening what was appended beside a transaction that was rolled back")
	}
	t.Record(log)
}

func reopenOften(t *test) {
	log := t.open()
	first := t.Bounds(log)
	for range 3 {
		log = t.reopen(log)
	}
	t.reopenedBounds(first, t.Bounds(log))
	events := t.Events(3)
	r := t.Append(log, events...)
	for n := range 3 {
		log = t.reopen(log)
		log = t.reopen(log)
		again := t.Append(log, events...)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, r.Seqs), "the same events were appended again after reopening %d times: the receipt is %+v, the first was %+v", 2*n+2, again, r)
		s := t.Follow("after reopening", log, cdc.After(cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[0]}), trial.Quiet())
		t.Fence(log, s)
		_ = s.Stop()
	}
	t.Record(log)
}

// atEveryLook lets a child do what the mode says and kill itself at the k-th
// look at its context, for every k, until it has done it without.
func (t *test) atEveryLook(mode childMode, log handle, check func(log handle, look int)) {
	for _, k := range []int{1, 2, 3, 4, 5, 6, 8, 11, 15, 20} {
		t.close(log)
		reached := t.killAtLook(mode, k, log.at)
		log = t.openWith("Reopen", t.h.Reopen, log.at)
		t.Trace("-- a child that does %s was killed at look %d: %t", mode, k, reached)
		check(log, k)
		if !reached {
			return
		}
	}
}

func killedAppending(t *test) {
	log := t.open()
	t.Fill(log, 2)
	epoch, resume := t.Bounds(log).Epoch, t.Bounds(log).Head
	t.atEveryLook(childAppends, log, func(log handle, look int) {
		got := t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: resume}, 100)
		t.Want(len(got) == 0 || len(got) == childEvents, "a process was killed within an Append of %d events: %s are there", childEvents, trial.EventsText(got))
		events := childAppend(look)
		r := t.Append(log, events...)
		again := t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: resume}, 100)
		t.Want(len(again) == childEvents && r.Duplicate == (len(got) > 0), "the Append of a process that was killed was tried again: the receipt is %+v, and %s are there", r, trial.EventsText(again))
		resume = t.Bounds(log).Head
	})
}

func killedTrimming(t *test) {
	log := t.open()
	epoch := t.Bounds(log).Epoch
	seqs := t.Fill(log, 2)
	last := lastOf(seqs)
	more := func(log handle) {
		seqs = append(seqs, t.Fill(log, 3)...)
		last = lastOf(seqs)
	}
	more(log)
	t.atEveryLook(childTrims, log, func(log handle, _ int) {
		b := t.Bounds(log)
		t.Want(b.Epoch == epoch && b.Floor < last && b.Head >= last, "a process was killed within a Trim that leaves one event, and the bounds are %+v: the last event was %d", b, last)
		want := seqs[slices.IndexFunc(seqs, func(seq uint64) bool { return seq > b.Floor }):]
		t.SameSeqs(verify.Durable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: b.Floor}, 100)), want, "read from the floor %d when a process had been killed within a Trim", b.Floor)
		more(log)
	})
}

func killedRenewing(t *test) {
	log := t.open()
	r := t.Append(log, t.Events(4)...)
	before := t.Bounds(log)
	held := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch}, 100)
	t.atEveryLook(childRenews, log, func(log handle, _ int) {
		b := t.Bounds(log)
		before.Epoch = b.Epoch
		t.reopenedBounds(before, b)
		got := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 100)
		t.Want(slices.Equal(sumsOf(got), sumsOf(held)), "a process was killed within a Renew: the log held %s before, and %s after", trial.EventsText(held), trial.EventsText(got))
		again, err := t.h.append(t.Ctx, log.Log, cdc.Event{ID: held[0].ID})
		if err != nil {
			t.StoreFailed("Append", fmt.Errorf("after a kill within a Renew: %w", err))
		}
		t.Want(slices.Equal(again.Seqs, r.Seqs[:1]), "a process was killed within a Renew, and ID %q got the seqs %v: it had %d", held[0].ID, again.Seqs, r.Seqs[0])
	})
}
