package conformance

import (
	"math"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func trimNothing(t *test) {
	log := t.open()
	n := t.trim(log, 0)
	t.Want(n == 0 && t.Bounds(log).Floor == 0, "Trim of an empty log to 0 removed %d events, the floor is %d", n, t.Bounds(log).Floor)
	seqs := t.Fill(log, 6)
	for _, to := range []uint64{0, seqs[0] - 1, seqs[2], seqs[2], seqs[1], 0} {
		before := t.Bounds(log)
		n := t.trim(log, to)
		after := t.Bounds(log)
		if to > before.Floor && to >= seqs[0] {
			continue // it had something to remove
		}
		t.Want(n == 0 && before.Floor <= after.Floor && after.Floor <= max(before.Floor, to), "Trim to %d, with nothing at or below it, removed %d events and took the floor from %d to %d", to, n, before.Floor, after.Floor)
	}
	left := trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch, Seq: t.Bounds(log).Floor}, 10))
	t.SameSeqs(verify.Resumable, left, seqs[3:], "read after trims that had nothing to remove")
}

func trimFar(t *test) {
	for _, far := range []uint64{math.MaxInt32 + 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		log := t.open()
		seqs := t.Fill(log, 3)
		n := t.trim(log, far)
		b := t.Bounds(log)
		t.Want(n == 3 && b.Floor == b.Head && b.Head >= seqs[2], "Trim to %d of a log of 3 events removed %d, the bounds are %+v", far, n, b)
		seq := t.Append(log, t.Event()).Seqs[0]
		page := t.Read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 10)
		t.Want(slices.Equal(trial.SeqsOf(page.Events), []uint64{seq}), "after a Trim to %d event %d was appended, the log holds %s", far, seq, trial.EventsText(page.Events))
	}
	if t.h.Begin == nil {
		return
	}
	for into := range uint64(4) {
		t.trimInHole(into)
	}
}

// trimInHole trims to a seq between two events that a rolled-back transaction
// may have left.
func (t *test) trimInHole(into uint64) {
	log := t.open()
	below := t.Fill(log, 2)[1]
	tx := t.Begin(log)
	tx.Append(3)
	tx.Rollback()
	above := t.Fill(log, 2)
	to := min(below+into, above[0]-1)
	n := t.trim(log, to)
	b := t.Bounds(log)
	t.Want(n == 2 && below <= b.Floor && b.Floor < above[0], "Trim to %d, between the events %d and %d, removed %d events of 2, and the floor is %d", to, below, above[0], n, b.Floor)
	got := trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1))
	t.SameSeqs(verify.Resumable, got, above, "after a Trim to %d, inside a hole, read from the floor %d", to, b.Floor)
}
