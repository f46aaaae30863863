package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func atomicCases() []Case {
	g := verify.Atomic
	return []Case{
		{Guarantee: g, Situation: "LastRefused", Sentence: "an append whose last event is refused adds none of the others", run: lastRefused},
		{Guarantee: g, Situation: "OneView", Sentence: "while others append five events at a time, a reader that polls sees all five or none", run: oneView},
		{Guarantee: g, Situation: "Transaction", Sentence: "the events of a transaction become visible together", needs: []need{needBegin}, run: txTogether},
		{Guarantee: g, Situation: "Overlapping", Sentence: "the same when a reader looks between its appends, and others begin before and after them and stay open", needs: []need{needThree}, run: overlappingTogether},
		{Guarantee: g, Situation: "Receipt", Sentence: "an append of n events returns n seqs, and each names its event; one of nothing changes nothing", run: receiptNames},
	}
}

func lastRefused(t *test) {
	log := t.open()
	t.Fill(log, 1)
	head := t.Bounds(log).Head
	for n := 1; n < 5; n++ {
		events := t.Events(n)
		bad := t.Event()
		bad.Type = cdc.ReservedTypePrefix + "x"
		_, err := t.h.append(t.Ctx, log.Log, append(events, bad)...)
		if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); !ok || invalid.Index != n {
			t.Fail(verify.Atomic, "event %d of %d is invalid: got the error %v, want an *InvalidEventError that names it", n, n+1, err)
		}
		got := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch, Seq: head}, 100)
		t.Want(len(got) == 0, "an append whose last event was refused added %d of the others", len(got))
	}
	t.Fill(log, 1)
}

func oneView(t *test) {
	const group = 5
	log := t.open()
	done := t.Go(func() {
		for range 40 {
			if _, err := t.TryAppend(log, t.Events(group)...); err != nil {
				t.NoteAppendFailed(err)
				return
			}
		}
	})
	epoch := t.Bounds(log).Epoch
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		trial.Breathe()
		if n := len(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000)); n%group != 0 {
			t.Fail(verify.Atomic, "a reader that had caught up saw %d events, but all were appended %d at a time: %d of an append are missing", n, group, group-n%group)
		}
	}
	t.Want(len(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000)) == 40*group, "not all events are in the log")
	t.Record(log)
}

func txTogether(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	for n := 1; n < 5; n++ {
		before := t.Bounds(log).Head
		tx := t.Begin(log)
		tx.Append(n)
		tx.Append(n)
		t.invisible(log, []*trial.Tx{tx})
		tx.Commit()
		got := t.ReadAll(log, cdc.Cursor{Epoch: r.Pos.Epoch, Seq: before}, 100)
		t.Want(len(got) == 2*n, "a transaction of %d events was committed, %d are visible", 2*n, len(got))
		r.Until(trial.LastSeq(got))
	}
	t.Record(log)
}

// overlappingTogether lets a reader look when a transaction has made one of its
// two appends, and when it has committed but others are open that drew their
// numbers before or after it. Nobody draws between: a log may show what lies
// below an open transaction.
func overlappingTogether(t *test) {
	log := t.open()
	epoch := t.Bounds(log).Epoch
	for _, others := range []overlap{{}, {after: true}, {before: true}, {before: true, after: true}} {
		for _, commits := range []bool{false, true} {
			t.Trace("-- others begin before: %t, after: %t; the first of them commits: %t", others.before, others.after, commits)
			o := others
			o.t, o.log, o.start, o.heads = t, log, cdc.Cursor{Epoch: epoch}, map[string]uint64{}
			o.run(commits)
		}
	}
	t.Record(log)
}

// overlap is a transaction beside others that began before and after it.
type overlap struct {
	before, after bool

	t      *test
	log    handle
	start  cdc.Cursor
	tx     *trial.Tx
	others []*trial.Tx
	heads  map[string]uint64 // what the head was when somebody looked
}

func (o *overlap) run(firstCommits bool) {
	t := o.t
	o.beginOther(o.before)
	o.tx = t.Begin(o.log)
	o.tx.Append(1)
	o.look("after the first append")
	o.tx.Append(2)
	o.beginOther(o.after)
	o.tx.Commit()
	o.look("after the commit")
	o.look("at the next look")
	for n, other := range o.others {
		if n == 0 && !firstCommits {
			other.Rollback()
		} else {
			other.Commit()
		}
		o.look(fmt.Sprintf("when %s has ended", other.Name))
	}
	all := t.ReadAll(o.log, o.start, 1000)
	t.Want(hasAny(all, o.tx.IDs()), "nothing of a committed transaction is visible when no other is open")
	for when, head := range o.heads {
		o.allOrNone(all, head, fmt.Sprintf("above the head %d, which was read %s", head, when))
	}
}

func (o *overlap) beginOther(begin bool) {
	if begin {
		x := o.t.Begin(o.log)
		x.Append(1)
		o.others = append(o.others, x)
	}
}

func (o *overlap) look(when string) {
	o.heads[when] = o.t.Bounds(o.log).Head
	o.allOrNone(o.t.ReadAll(o.log, o.start, 1000), 0, when)
}

func (o *overlap) allOrNone(events []cdc.Event, above uint64, what string) {
	n := 0
	for _, e := range events {
		if e.Seq > above && slices.Contains(o.tx.IDs(), e.ID) {
			n++
		}
	}
	o.t.Want(n == 0 || n == len(o.tx.IDs()), "%s, %d of the %d events of a transaction are visible", what, n, len(o.tx.IDs()))
}

func receiptNames(t *test) {
	log := t.open()
	for n := 1; n < 6; n++ {
		events := t.Events(n)
		r := t.Append(log, events...)
		t.Want(len(r.Seqs) == n && !r.Duplicate && r.Epoch == t.Bounds(log).Epoch, "the receipt of %d new events is %+v", n, r)
		for i, seq := range r.Seqs {
			page := t.Read(log, cdc.Cursor{Epoch: r.Epoch, Seq: seq - 1}, 1)
			t.Want(len(page.Events) == 1 && page.Events[0].Seq == seq && page.Events[0].ID == events[i].ID, "seq %d of the receipt names %s, want %s", seq, trial.EventsText(page.Events), events[i].ID)
		}
	}
	before := t.Bounds(log)
	empty, err := t.h.append(t.Ctx, log.Log)
	t.Want(err == nil && len(empty.Seqs) == 0 && !empty.Duplicate, "an append of nothing returned %+v, %v: want no seqs, no duplicate, no error", empty, err)
	t.Want(t.Bounds(log) == before, "an append of nothing changed the bounds from %+v to %+v", before, t.Bounds(log))
}
