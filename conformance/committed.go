package conformance

import (
	"errors"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func committedCases() []Case {
	g := verify.Committed
	begin := []need{needBegin}
	return []Case{
		{Guarantee: g, Situation: "Open", Sentence: "nothing of an open transaction is read, counted in the head, or delivered", needs: begin, run: openTx},
		{Guarantee: g, Situation: "RolledBack", Sentence: "nothing of a rolled-back transaction is ever seen", needs: begin, run: rolledBack},
		{Guarantee: g, Situation: "HeadBelowOpen", Sentence: "what an open transaction commits comes above every head that was told while it was open", needs: begin, run: headBelowOpen},
		{Guarantee: g, Situation: "Refused", Sentence: "nothing of an append that returned an error is seen", run: refusedIsNotSeen},
		{Guarantee: g, Situation: "CommitOrder", Sentence: "three transactions end in every order: after each step, nothing of those still open is read", needs: []need{needThree}, run: commitOrder},
	}
}

func openTx(t *trial) {
	log := t.open()
	t.fill(log, 2)
	s := t.follow("live", log, cdc.Latest, quiet())
	s.live()
	r := t.rawAt(log)
	for n := range 4 {
		before := t.bounds(log)
		tx := t.begin(log)
		tx.append(1 + n%3)
		t.invisible(log, []*transaction{tx})
		if head := t.bounds(log).Head; head != before.Head {
			t.fail(verify.Committed, "the head went from %d to %d when a transaction appended that has not committed", before.Head, head)
		}
		t.want(!hasAny(s.got(), tx.ids()), "a stream delivered an event of an open transaction")
		tx.commit()
		got := t.all(log, r.pos, 100)
		t.want(len(got) == 1+n%3 && hasAny(got, tx.ids()), "after the commit %s were read, want %d events", eventsText(got), 1+n%3)
		r.until(lastSeq(got))
		s.until(lastSeq(got))
	}
	t.record(log)
}

func hasAny(events []cdc.Event, ids []string) bool {
	return slices.ContainsFunc(events, func(e cdc.Event) bool { return slices.Contains(ids, e.ID) })
}

func rolledBack(t *trial) {
	log := t.open()
	t.fill(log, 2)
	s := t.follow("live", log, cdc.Beginning, quiet())
	s.live()
	r := t.rawAt(log)
	for n := range 4 {
		tx := t.begin(log)
		tx.append(1 + n%3)
		tx.rollback()
		t.want(!hasAny(t.all(log, cdc.Cursor{Epoch: s.first.Epoch}, 100), tx.ids()), "an event of a rolled-back transaction was read")
		seq := t.fence(log, s)
		r.until(seq)
		t.want(!hasAny(s.got(), tx.ids()), "a stream delivered an event of a rolled-back transaction")
	}
	t.record(log)
}

func headBelowOpen(t *trial) {
	log := t.open()
	t.fill(log, 2)
	for n := range 4 {
		tx := t.begin(log)
		tx.append(1 + n)
		b := t.bounds(log)
		page := t.read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1000)
		tx.commit()
		for _, e := range t.all(log, cdc.Cursor{Epoch: b.Epoch}, 1000) {
			if slices.Contains(tx.ids(), e.ID) && (e.Seq <= b.Head || e.Seq <= page.Next) {
				t.fail(verify.Committed, "event %d was committed after the head %d and the Next %d had been told: whoever was told will not read it", e.Seq, b.Head, page.Next)
			}
		}
	}
}

func refusedIsNotSeen(t *trial) {
	log := t.open()
	t.fill(log, 1)
	s := t.follow("live", log, cdc.Beginning, quiet())
	s.live()
	before := t.bounds(log).Head
	bad := t.event()
	bad.Type = cdc.ReservedTypePrefix + "reset"
	_, err := t.h.append(t.ctx, log.Log, bad)
	if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); !ok || invalid.Index != 0 {
		t.fail(verify.Committed, "an event of the reserved type %q: got the error %v, want an *InvalidEventError (call cdc.CheckAppend first)", bad.Type, err)
	}
	large := t.event()
	large.Data = make([]byte, cdc.DefaultMaxEventBytes+1)
	_, err = t.h.append(t.ctx, log.Log, large)
	if _, ok := errors.AsType[*cdc.TooLargeError](err); !ok {
		t.fail(verify.Committed, "an event of more than %d bytes: got the error %v, want a *TooLargeError", cdc.DefaultMaxEventBytes, err)
	}
	got := t.all(log, cdc.Cursor{Epoch: s.first.Epoch, Seq: before}, 10)
	t.want(len(got) == 0, "%s were read though every append was refused", eventsText(got))
	t.fence(log, s)
	t.want(len(s.got()) == 2, "a stream delivered %s after one event, two refused ones and another", eventsText(s.got()))
}
