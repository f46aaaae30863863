package conformance

import (
	"errors"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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

func openTx(t *test) {
	log := t.open()
	t.Fill(log, 2)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	r := t.RawAtHead(log)
	for n := range 4 {
		tx := t.Begin(log)
		tx.Append(1 + n%3)
		t.invisible(log, []*trial.Tx{tx})
		open := t.Bounds(log).Head // it may rise, to the lowest undecided seq - 1
		t.Want(!hasAny(s.Events(), tx.IDs()), "a stream delivered an event of an open transaction")
		tx.Commit()
		got := t.ReadAll(log, r.Pos, 100)
		t.Want(len(got) == 1+n%3 && hasAny(got, tx.IDs()), "after the commit %s were read, want %d events", trial.EventsText(got), 1+n%3)
		t.Want(got[0].Seq > open, "event %d was committed, and the head was %d while its transaction was open", got[0].Seq, open)
		r.Until(trial.LastSeq(got))
		s.AwaitEvent(trial.LastSeq(got))
	}
	t.Record(log)
}

func hasAny(events []cdc.Event, ids []string) bool {
	return slices.ContainsFunc(events, func(e cdc.Event) bool { return slices.Contains(ids, e.ID) })
}

func rolledBack(t *test) {
	log := t.open()
	t.Fill(log, 2)
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	r := t.RawAtHead(log)
	for n := range 4 {
		tx := t.Begin(log)
		tx.Append(1 + n%3)
		tx.Rollback()
		t.Want(!hasAny(t.ReadAll(log, cdc.Cursor{Epoch: s.First().Epoch}, 100), tx.IDs()), "an event of a rolled-back transaction was read")
		seq := t.Fence(log, s)
		r.Until(seq)
		t.Want(!hasAny(s.Events(), tx.IDs()), "a stream delivered an event of a rolled-back transaction")
	}
	t.Record(log)
}

func headBelowOpen(t *test) {
	log := t.open()
	t.Fill(log, 2)
	for n := range 4 {
		tx := t.Begin(log)
		tx.Append(1 + n)
		b := t.Bounds(log)
		page := t.Read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1000)
		tx.Commit()
		for _, e := range t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 1000) {
			if slices.Contains(tx.IDs(), e.ID) && (e.Seq <= b.Head || e.Seq <= page.Next) {
				t.Fail(verify.Committed, "event %d was committed after the head %d and the Next %d had been told: whoever was told will not read it", e.Seq, b.Head, page.Next)
			}
		}
	}
}

// tooLarge are events above the limit, each by another field.
func tooLarge() []cdc.Event {
	long := strings.Repeat("x", cdc.DefaultMaxEventBytes)
	return []cdc.Event{
		{Data: []byte(long + "x")},
		{Key: "x", Data: []byte(long)},
		{Meta: map[string]string{"k": long}},
		{Meta: map[string]string{long: "v"}},
		{Topic: long[:len(long)/2], Key: long[:len(long)/2], Type: "x"},
		{ID: long + "x"},
	}
}

func refusedIsNotSeen(t *test) {
	log := t.open()
	t.Fill(log, 1)
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	before := t.Bounds(log).Head
	bad := t.Event()
	bad.Type = cdc.ReservedTypePrefix + "reset"
	_, err := t.h.append(t.Ctx, log.Log, bad)
	if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); !ok || invalid.Index != 0 {
		t.Fail(verify.Committed, "an event of the reserved type %q: got the error %v, want an *InvalidEventError (call cdc.CheckAppend first)", bad.Type, err)
	}
	for n, large := range tooLarge() {
		_, err = t.h.append(t.Ctx, log.Log, append(t.Events(n), large)...)
		if refused, ok := errors.AsType[*cdc.TooLargeError](err); !ok || refused.Index != n || refused.Size != large.Size() {
			t.Fail(verify.Committed, "event %d of an append has %d bytes, more than %d: got the error %v, want a *TooLargeError that says so", n, large.Size(), cdc.DefaultMaxEventBytes, err)
		}
	}
	got := t.ReadAll(log, cdc.Cursor{Epoch: s.First().Epoch, Seq: before}, 10)
	t.Want(len(got) == 0, "%s were read though every append was refused", trial.EventsText(got))
	t.Fence(log, s)
	t.Want(len(s.Events()) == 2, "a stream delivered %s after one event, two refused ones and another", trial.EventsText(s.Events()))
}
