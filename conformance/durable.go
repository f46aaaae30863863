package conformance

import (
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func durableCases() []Case {
	g := verify.Durable
	reopen := []need{needReopen}
	return []Case{
		{Guarantee: g, Situation: "Reopen", Sentence: "closing and opening the log again changes nothing: events, epoch, bounds, cursors", needs: reopen, run: reopenKeeps},
		{Guarantee: g, Situation: "ReopenTrimmed", Sentence: "floor, head and seqs survive reopening a log that was trimmed, even to nothing", needs: reopen, run: reopenTrimmed},
		{Guarantee: g, Situation: "ReopenRenewed", Sentence: "a new epoch survives reopening", needs: reopen, run: reopenRenewed},
		{Guarantee: g, Situation: "Renewed", Sentence: "a new epoch changes nothing else: events, floor, head, last, and the IDs that are known", run: renewedKeeps},
		{Guarantee: g, Situation: "SeqsNotReused", Sentence: "no seq is used again after everything was trimmed, or after a rollback", run: seqsNotReused},
		{Guarantee: g, Situation: "BoundsOnlyGrow", Sentence: "floor, head and last never decrease within an epoch, whatever happens", run: boundsOnlyGrow},
		{Guarantee: g, Situation: "Killed", Sentence: "a process that appends is killed with SIGKILL at the k-th acknowledged append: everything acknowledged is there, and the log goes on", needs: []need{needReopen, needCrash}, run: killed, real: true},
	}
}

func reopenKeeps(t *trial) {
	log := t.open()
	for n := range 4 {
		time.Sleep(1_234_567) // so that the times of the events are not whole milliseconds
		t.fill(log, n)
		b := t.bounds(log)
		before := t.all(log, cdc.Cursor{Epoch: b.Epoch}, 100)
		log = t.reopen(log)
		now := t.bounds(log)
		t.want(now == b, "reopening changed the bounds from %+v to %+v", b, now)
		after := t.all(log, cdc.Cursor{Epoch: b.Epoch}, 100)
		t.want(slices.Equal(sumsOf(before), sumsOf(after)), "before reopening the log held %s, after it %s, or their contents changed", eventsText(before), eventsText(after))
		for _, e := range before {
			if _, err := t.tryRead(log, e.Cursor(b.Epoch), 10); err != nil {
				t.fail(verify.Durable, "the cursor of event %d is refused after reopening: %v", e.Seq, err)
			}
		}
		seq := t.append(log, t.event()).Seqs[0]
		t.want(seq > b.Last, "the first append after reopening got the seq %d, the last one before was %d", seq, b.Last)
	}
	t.record(log)
}

func reopenTrimmed(t *trial) {
	log := t.open()
	for n := range 3 {
		seqs := t.fill(log, 5)
		t.trim(log, seqs[[...]int{1, 3, 4}[n]])
		b := t.bounds(log)
		log = t.reopen(log)
		now := t.bounds(log)
		t.want(now == b, "reopening a trimmed log changed the bounds from %+v to %+v", b, now)
		_, err := t.tryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor - 1}, 10)
		t.isReset(err, log, "reading from below the floor after reopening", cdc.ReasonTruncated)
		seq := t.append(log, t.event()).Seqs[0]
		t.want(seq > b.Last, "the first append after reopening got the seq %d, the last one before was %d", seq, b.Last)
	}
	t.record(log)
}

func reopenRenewed(t *trial) {
	log := t.open()
	t.fill(log, 3)
	t.renew(log)
	b := t.bounds(log)
	log = t.reopen(log)
	t.want(t.bounds(log) == b, "a new epoch was given: bounds were %+v before reopening and are %+v after", b, t.bounds(log))
}

func renewedKeeps(t *trial) {
	log := t.open()
	events := t.eventsN(5)
	r := t.append(log, events...)
	before := t.bounds(log)
	held := t.all(log, cdc.Cursor{Epoch: before.Epoch}, 100)
	t.renew(log)
	now := t.bounds(log)
	before.Epoch = now.Epoch
	t.want(now == before, "a new epoch changed the bounds from %+v to %+v", before, now)
	kept := t.all(log, cdc.Cursor{Epoch: now.Epoch, Seq: now.Floor}, 100)
	t.want(slices.Equal(sumsOf(held), sumsOf(kept)), "before the new epoch the log held %s, after it %s, or their contents changed", eventsText(held), eventsText(kept))
	again, err := t.h.append(t.ctx, log.Log, events[1]) // not recorded: it was appended in the other epoch
	if err != nil {
		t.broken("Append", err)
	}
	t.want(slices.Equal(again.Seqs, r.Seqs[1:2]), "the ID of event %d was appended again in a new epoch and got the seqs %v", r.Seqs[1], again.Seqs)
}

func seqsNotReused(t *trial) {
	log := t.open()
	highest := uint64(0)
	for range 4 {
		for _, seq := range t.fill(log, 3) {
			t.want(seq > highest, "seq %d was given after %d", seq, highest)
			highest = seq
		}
		if t.h.Begin != nil {
			tx := t.begin(log)
			tx.append(2)
			tx.rollback()
		}
		b := t.bounds(log)
		highest = max(highest, b.Head)
		t.trim(log, b.Head)
	}
	seq := t.append(log, t.event()).Seqs[0]
	t.want(seq > highest, "after everything was trimmed the seq %d was given, the highest before was %d", seq, highest)
}

func boundsOnlyGrow(t *trial) {
	log := t.open()
	last := t.bounds(log)
	look := func(after string) {
		b := t.bounds(log)
		if b.Epoch == last.Epoch && (b.Floor < last.Floor || b.Head < last.Head || b.Last < last.Last) {
			t.fail(verify.Durable, "after %s the bounds went from %+v to %+v", after, last, b)
		}
		last = b
	}
	for n := range 6 {
		seqs := t.fill(log, 4)
		look("appends")
		if t.h.Begin != nil {
			tx := t.begin(log)
			tx.append(1)
			look("an open transaction")
			tx.rollback()
			look("a rollback")
		}
		t.trim(log, seqs[min(n, 3)])
		look("a trim")
		t.trim(log, t.bounds(log).Head+5)
		look("a trim of everything")
		if t.h.Reopen != nil {
			log = t.reopen(log)
			look("reopening")
		}
	}
}
