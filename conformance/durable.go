package conformance

import (
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func durableCases() []Case {
	g := verify.Durable
	reopen := []need{needReopen}
	return []Case{
		{Guarantee: g, Situation: "Reopen", Sentence: "closing and opening the log again changes nothing, events, epoch, floor, cursors, but that head and last may be higher", needs: reopen, run: reopenKeeps},
		{Guarantee: g, Situation: "ReopenTrimmed", Sentence: "floor, head and seqs survive reopening a log that was trimmed, even to nothing", needs: reopen, run: reopenTrimmed},
		{Guarantee: g, Situation: "ReopenRenewed", Sentence: "a new epoch survives reopening", needs: reopen, run: reopenRenewed},
		{Guarantee: g, Situation: "Renewed", Sentence: "a new epoch changes nothing else: events, floor, head, last, and the IDs that are known", run: renewedKeeps},
		{Guarantee: g, Situation: "SeqsNotReused", Sentence: "no seq is used again after everything was trimmed, or after a rollback", run: seqsNotReused},
		{Guarantee: g, Situation: "BoundsOnlyGrow", Sentence: "floor, head and last never decrease within an epoch, whatever happens", run: boundsOnlyGrow},
		{Guarantee: g, Situation: "Killed", Sentence: "a process that appends is killed with SIGKILL at the k-th acknowledged append: everything acknowledged is there, and the log goes on", needs: []need{needReopen, needCrash}, run: killed, real: true},
	}
}

func reopenKeeps(t *test) {
	log := t.open()
	for n := range 4 {
		time.Sleep(1_234_567) // so that the times of the events are not whole milliseconds
		t.Fill(log, n)
		b := t.Bounds(log)
		before := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 100)
		log = t.reopen(log)
		now := t.Bounds(log)
		t.reopenedBounds(b, now)
		after := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 100)
		t.Want(slices.Equal(sumsOf(before), sumsOf(after)), "before reopening the log held %s, after it %s, or their contents changed", trial.EventsText(before), trial.EventsText(after))
		for _, e := range before {
			if _, err := t.TryRead(log, e.Cursor(b.Epoch), 10); err != nil {
				t.Fail(verify.Durable, "the cursor of event %d is refused after reopening: %v", e.Seq, err)
			}
		}
		seq := t.Append(log, t.Event()).Seqs[0]
		t.Want(seq > b.Last, "the first append after reopening got the seq %d, the last one before was %d", seq, b.Last)
	}
	t.Record(log)
}

func reopenTrimmed(t *test) {
	log := t.open()
	for n := range 3 {
		seqs := t.Fill(log, 5)
		t.trim(log, seqs[[...]int{1, 3, 4}[n]])
		b := t.Bounds(log)
		log = t.reopen(log)
		now := t.Bounds(log)
		t.reopenedBounds(b, now)
		_, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor - 1}, 10)
		t.isReset(err, log, "reading from below the floor after reopening", cdc.ReasonTruncated)
		seq := t.Append(log, t.Event()).Seqs[0]
		t.Want(seq > b.Last, "the first append after reopening got the seq %d, the last one before was %d", seq, b.Last)
	}
	t.Record(log)
}

func reopenRenewed(t *test) {
	log := t.open()
	t.Fill(log, 3)
	t.renew(log)
	b := t.Bounds(log)
	log = t.reopen(log)
	t.reopenedBounds(b, t.Bounds(log))
}

// reopenedBounds compares the bounds before and after reopening. Head and last
// may be higher: a store may skip the seqs that it had reserved.
func (t *test) reopenedBounds(before, after cdc.Bounds) {
	t.Want(after.Epoch == before.Epoch && after.Floor == before.Floor && after.Head >= before.Head && after.Last >= before.Last, "reopening changed the bounds from %+v to %+v", before, after)
}

func renewedKeeps(t *test) {
	log := t.open()
	events := t.Events(5)
	r := t.Append(log, events...)
	before := t.Bounds(log)
	held := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch}, 100)
	t.renew(log)
	now := t.Bounds(log)
	before.Epoch = now.Epoch
	t.Want(now == before, "a new epoch changed the bounds from %+v to %+v", before, now)
	kept := t.ReadAll(log, cdc.Cursor{Epoch: now.Epoch, Seq: now.Floor}, 100)
	t.Want(slices.Equal(sumsOf(held), sumsOf(kept)), "before the new epoch the log held %s, after it %s, or their contents changed", trial.EventsText(held), trial.EventsText(kept))
	again, err := t.h.append(t.Ctx, log.Log, events[1]) // not recorded: it was appended in the other epoch
	if err != nil {
		t.StoreFailed("Append", err)
	}
	t.Want(slices.Equal(again.Seqs, r.Seqs[1:2]), "the ID of event %d was appended again in a new epoch and got the seqs %v", r.Seqs[1], again.Seqs)
}

func seqsNotReused(t *test) {
	log := t.open()
	highest := uint64(0)
	for range 4 {
		for _, seq := range t.Fill(log, 3) {
			t.Want(seq > highest, "seq %d was given after %d", seq, highest)
			highest = seq
		}
		if t.h.Begin != nil {
			tx := t.Begin(log)
			tx.Append(2)
			tx.Rollback()
		}
		b := t.Bounds(log)
		highest = max(highest, b.Head)
		t.trim(log, b.Head)
	}
	seq := t.Append(log, t.Event()).Seqs[0]
	t.Want(seq > highest, "after everything was trimmed the seq %d was given, the highest before was %d", seq, highest)
}

func boundsOnlyGrow(t *test) {
	log := t.open()
	last := t.Bounds(log)
	look := func(after string) {
		b := t.Bounds(log)
		if b.Epoch == last.Epoch && (b.Floor < last.Floor || b.Head < last.Head || b.Last < last.Last) {
			t.Fail(verify.Durable, "after %s the bounds went from %+v to %+v", after, last, b)
		}
		last = b
	}
	for n := range 6 {
		seqs := t.Fill(log, 4)
		look("appends")
		if t.h.Begin != nil {
			tx := t.Begin(log)
			tx.Append(1)
			look("an open transaction")
			tx.Rollback()
			look("a rollback")
		}
		t.trim(log, seqs[min(n, 3)])
		look("a trim")
		t.trim(log, t.Bounds(log).Head+5)
		look("a trim of everything")
		if t.h.Reopen != nil {
			log = t.reopen(log)
			look("reopening")
		}
	}
}
