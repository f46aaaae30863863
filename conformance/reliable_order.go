package conformance

import (
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// orders3 are the orders in which three transactions can end.
func orders3() [][]int {
	return [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
}

// commitOrder lets three overlapping transactions end in every order, each by
// commit or rollback, and polls after each step, as a reader would. It is what
// finds a log whose seqs are drawn in another order than they become visible.
func commitOrder(t *test) {
	log := t.open()
	live := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	live.AwaitLive()
	poll := t.History.Stream("polling")
	pos := cdc.Cursor{Epoch: live.First().Epoch, Seq: t.Bounds(log).Head}
	poll.Begin(pos)
	step := func() {
		for {
			page := t.Read(log, pos, 2)
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
			t.Trace("-- transactions end in the order %v, commits %03b", order, outcome)
			var open []*trial.Tx
			for n := range 3 {
				x := t.Begin(log)
				x.Append(1 + (outcome+n)%2)
				open = append(open, x)
				step()
			}
			for _, n := range order {
				if outcome&(1<<n) != 0 {
					open[n].Commit()
				} else {
					open[n].Rollback()
				}
				step()
				t.invisible(log, slices.DeleteFunc(slices.Clone(open), func(x *trial.Tx) bool { return x.Ended() }))
			}
		}
	}
	t.Fence(log, live)
	step()
	t.Record(log)
}

// invisible checks that nothing of open transactions is in the log.
func (t *test) invisible(log cdc.Log, open []*trial.Tx) {
	hidden := map[string]bool{}
	for _, x := range open {
		for _, id := range x.IDs() {
			hidden[id] = true
		}
	}
	b := t.Bounds(log)
	from := cdc.Cursor{Epoch: b.Epoch, Seq: max(b.Floor, b.Head-min(b.Head, 20))}
	for _, e := range t.ReadAll(log, from, 100) {
		if hidden[e.ID] {
			t.Fail(verify.Committed, "event %d of a transaction that is still open was read", e.Seq)
		}
	}
}
