package conformance

import (
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// transaction is an open transaction and its record.
type transaction struct {
	t      *trial
	log    handle
	tx     Tx
	name   string
	record verify.Append
}

func (t *trial) begin(log handle) *transaction {
	tx, err := t.h.Begin(t.ctx, log.Log)
	if err != nil {
		t.broken("Begin", err)
	}
	return &transaction{t: t, log: log, tx: tx, name: "tx", record: verify.Append{Begin: t.history.Tick()}}
}

func (x *transaction) append(n int) {
	events := x.t.eventsN(n)
	err := x.tx.Append(x.t.ctx, events...)
	x.t.trace.add("%s: Append %d %s", x.name, n, errText(err))
	if err != nil {
		x.t.broken("Tx.Append", err)
	}
	for _, e := range events {
		x.record.Records = append(x.record.Records, verify.Record{ID: e.ID})
	}
}

func (x *transaction) commit() { x.end(verify.Acknowledged, x.tx.Commit(x.t.ctx)) }

func (x *transaction) rollback() { x.end(verify.Refused, x.tx.Rollback(x.t.ctx)) }

func (x *transaction) end(outcome verify.Outcome, err error) {
	what := map[verify.Outcome]string{verify.Acknowledged: "Commit", verify.Refused: "Rollback"}[outcome]
	x.t.trace.add("%s: %s %s", x.name, what, errText(err))
	if err != nil {
		x.t.broken("Tx."+what, err)
	}
	x.record.End = x.t.history.Tick()
	x.record.Outcome = outcome
	x.record.Epoch = x.t.bounds(x.log).Epoch
	x.t.history.Append(x.record)
}

// ids are the events that the transaction appended.
func (x *transaction) ids() []string {
	ids := make([]string, len(x.record.Records))
	for i, r := range x.record.Records {
		ids[i] = r.ID
	}
	return ids
}

// orders3 are the orders in which three transactions can end.
func orders3() [][]int {
	return [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
}

// commitOrder lets three overlapping transactions end in every order, each by
// commit or rollback, and polls after each step, as a reader would. It is what
// finds a log whose seqs are drawn in another order than they become visible.
func commitOrder(t *trial) {
	log := t.open()
	live := t.follow("live", log, cdc.Latest, quiet())
	live.live()
	poll := t.history.Stream("polling")
	pos := cdc.Cursor{Epoch: live.first.Epoch, Seq: t.bounds(log).Head}
	poll.Begin(pos)
	step := func() {
		for {
			page := t.read(log, pos, 2)
			for _, e := range page.Events {
				poll.Add(e.Seq, verify.RecordOf(e))
			}
			if page.Next == pos.Seq {
				return
			}
			pos.Seq = page.Next
			poll.Add(pos.Seq)
		}
	}
	for _, order := range orders3() {
		for outcome := range 8 {
			t.trace.add("-- transactions end in the order %v, commits %03b", order, outcome)
			var open []*transaction
			for n := range 3 {
				x := t.begin(log)
				x.name = fmt.Sprintf("tx%d", n)
				x.append(1 + (outcome+n)%2)
				open = append(open, x)
				step()
			}
			for _, n := range order {
				if outcome&(1<<n) != 0 {
					open[n].commit()
				} else {
					open[n].rollback()
				}
				step()
				t.invisible(log, slices.DeleteFunc(slices.Clone(open), func(x *transaction) bool { return x.record.End != 0 }))
			}
		}
	}
	t.fence(log, live)
	step()
	t.record(log)
}

// invisible checks that nothing of open transactions is in the log.
func (t *trial) invisible(log cdc.Log, open []*transaction) {
	hidden := map[string]bool{}
	for _, x := range open {
		for _, id := range x.ids() {
			hidden[id] = true
		}
	}
	b := t.bounds(log)
	from := cdc.Cursor{Epoch: b.Epoch, Seq: max(b.Floor, b.Head-min(b.Head, 20))}
	for _, e := range t.all(log, from, 100) {
		if hidden[e.ID] {
			t.fail(verify.Committed, "event %d of a transaction that is still open was read", e.Seq)
		}
	}
}
