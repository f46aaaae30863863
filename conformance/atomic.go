package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func atomicCases() []Case {
	g := verify.Atomic
	return []Case{
		{Guarantee: g, Situation: "LastRefused", Sentence: "an append whose last event is refused adds none of the others", run: lastRefused},
		{Guarantee: g, Situation: "OneView", Sentence: "while others append five events at a time, a reader that polls sees all five or none", run: oneView},
		{Guarantee: g, Situation: "Transaction", Sentence: "the events of a transaction become visible together", needs: []need{needBegin}, run: txTogether},
		{Guarantee: g, Situation: "Overlapping", Sentence: "the same when a reader looks between its appends, and others begin before and after them and stay open", needs: []need{needThree}, run: overlappingTogether},
		{Guarantee: g, Situation: "Receipt", Sentence: "an append of n events returns n seqs, and each names its event", run: receiptNames},
	}
}

func lastRefused(t *trial) {
	log := t.open()
	t.fill(log, 1)
	head := t.bounds(log).Head
	for n := 1; n < 5; n++ {
		events := t.eventsN(n)
		bad := t.event()
		bad.Type = cdc.ReservedTypePrefix + "x"
		_, err := t.h.append(t.ctx, log.Log, append(events, bad)...)
		if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); !ok || invalid.Index != n {
			t.fail(verify.Atomic, "event %d of %d is invalid: got the error %v, want an *InvalidEventError that names it", n, n+1, err)
		}
		got := t.all(log, cdc.Cursor{Epoch: t.bounds(log).Epoch, Seq: head}, 100)
		t.want(len(got) == 0, "an append whose last event was refused added %d of the others", len(got))
	}
	t.fill(log, 1)
}

func oneView(t *trial) {
	const group = 5
	log := t.open()
	done := t.beside(func() {
		for range 40 {
			if _, err := t.tryAppend(log, t.eventsN(group)...); err != nil {
				t.appendFailed(err)
				return
			}
		}
	})
	epoch := t.bounds(log).Epoch
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		breathe()
		if n := len(t.all(log, cdc.Cursor{Epoch: epoch}, 1000)); n%group != 0 {
			t.fail(verify.Atomic, "a reader that had caught up saw %d events, but all were appended %d at a time: %d of an append are missing", n, group, group-n%group)
		}
	}
	t.want(len(t.all(log, cdc.Cursor{Epoch: epoch}, 1000)) == 40*group, "not all events are in the log")
	t.record(log)
}

func txTogether(t *trial) {
	log := t.open()
	r := t.rawAt(log)
	for n := 1; n < 5; n++ {
		before := t.bounds(log).Head
		tx := t.begin(log)
		tx.append(n)
		tx.append(n)
		t.invisible(log, []*transaction{tx})
		tx.commit()
		got := t.all(log, cdc.Cursor{Epoch: r.pos.Epoch, Seq: before}, 100)
		t.want(len(got) == 2*n, "a transaction of %d events was committed, %d are visible", 2*n, len(got))
		r.until(lastSeq(got))
	}
	t.record(log)
}

// overlappingTogether lets a reader look when a transaction has made one of its
// two appends, and when it has committed but others are open that drew their
// numbers before or after it. Nobody draws between: a log may show what lies
// below an open transaction.
func overlappingTogether(t *trial) {
	log := t.open()
	epoch := t.bounds(log).Epoch
	heads := map[string]uint64{} // what the head was when something was told
	allOrNone := func(x *transaction, events []cdc.Event, above uint64, what string) {
		n := 0
		for _, e := range events {
			if e.Seq > above && slices.Contains(x.ids(), e.ID) {
				n++
			}
		}
		t.want(n == 0 || n == len(x.ids()), "%s, %d of the %d events of a transaction are visible", what, n, len(x.ids()))
	}
	look := func(when string, x *transaction) {
		heads[when] = t.bounds(log).Head
		allOrNone(x, t.all(log, cdc.Cursor{Epoch: epoch}, 1000), 0, when)
	}
	for others := range 4 {
		for commits := range 2 {
			clear(heads)
			t.trace.add("-- others begin before and after: %02b, the first of them commits: %d", others, commits)
			var open []*transaction
			beside := func(at int) {
				if others&at != 0 {
					x := t.begin(log)
					x.name = fmt.Sprintf("tx%d", len(open)+1)
					x.append(1)
					open = append(open, x)
				}
			}
			beside(2)
			x := t.begin(log)
			x.append(1)
			look("after the first append", x)
			x.append(2)
			beside(1)
			x.commit()
			look("after the commit", x)
			look("at the next look", x)
			for n, o := range open {
				if n == 0 && commits == 0 {
					o.rollback()
				} else {
					o.commit()
				}
				look(fmt.Sprintf("when %s has ended", o.name), x)
			}
			all := t.all(log, cdc.Cursor{Epoch: epoch}, 1000)
			t.want(hasAny(all, x.ids()), "nothing of a committed transaction is visible when no other is open")
			for when, head := range heads {
				allOrNone(x, all, head, fmt.Sprintf("above the head %d, which was told %s", head, when))
			}
		}
	}
	t.record(log)
}

func receiptNames(t *trial) {
	log := t.open()
	for n := 1; n < 6; n++ {
		events := t.eventsN(n)
		r := t.append(log, events...)
		t.want(len(r.Seqs) == n && !r.Duplicate && r.Epoch == t.bounds(log).Epoch, "the receipt of %d new events is %+v", n, r)
		for i, seq := range r.Seqs {
			page := t.read(log, cdc.Cursor{Epoch: r.Epoch, Seq: seq - 1}, 1)
			t.want(len(page.Events) == 1 && page.Events[0].Seq == seq && page.Events[0].ID == events[i].ID, "seq %d of the receipt names %s, want %s", seq, eventsText(page.Events), events[i].ID)
		}
	}
	empty, err := t.h.append(t.ctx, log.Log)
	t.want(err == nil && len(empty.Seqs) == 0, "an append of nothing returned %+v, %v", empty, err)
}
