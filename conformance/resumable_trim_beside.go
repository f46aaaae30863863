package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func trimBesideCases() []Case {
	g := verify.Resumable
	return []Case{
		{Guarantee: g, Situation: "TrimBesideOpen", Sentence: "a trim beside an open transaction, to a seq above it or to the highest there is, removes nothing above the head: what was committed, and what that one commits, is read", needs: []need{needThree}, run: trimBesideOpen},
		{Guarantee: g, Situation: "TrimMany", Sentence: "a trim of thousands of events removes them all and says how many", run: trimMany},
		{Guarantee: g, Situation: "TrimAtFloor", Sentence: "a reader that stands at the floor while another trims event by event reads the next one or is told truncated: no event is gone before the floor says so", run: trimAtFloor, real: true},
		{Guarantee: g, Situation: "TrimLookedAt", Sentence: "the same where the reader reads whenever a trim looks at its context", run: trimLookedAt, real: true},
		{Guarantee: g, Situation: "ReadLookedAt", Sentence: "a trim whenever a read looks at its context: the read gives the next event or says truncated, for its bounds and its events are of one moment", run: readLookedAt, real: true},
		{Guarantee: g, Situation: "TrimContextEnds", Sentence: "the context of a trim ends at the k-th look at it, for every k: what was removed is below the floor, the rest is there", run: trimContextEnds},
		{Guarantee: g, Situation: "TrimSecondHandle", Sentence: "a trim through one handle is at once the floor of the other", needs: []need{needSecond}, run: trimSecondHandle},
	}
}

// trimBesideOpen trims while an older transaction is open and a newer event
// was committed above it.
func trimBesideOpen(t *test) {
	for _, commits := range []bool{true, false} {
		for _, far := range []bool{false, true} {
			t.Trace("-- the older transaction commits: %t; the trim goes to the highest seq: %t", commits, far)
			t.trimBeside(commits, far)
		}
	}
}

func (t *test) trimBeside(commits, far bool) {
	log := t.open()
	t.Fill(log, 3)
	older := t.Begin(log)
	older.Append(2)
	events := t.Events(2)
	newer := t.Append(log, events...)
	before := t.Bounds(log)
	to := lastOf(newer.Seqs)
	if far {
		to = math.MaxUint64
	}
	held := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch}, 100)
	n := t.trim(log, to)
	b := t.Bounds(log)
	t.Want(n <= len(held), "a Trim to %d, beside an open transaction, says that it removed %d events, of %d that could be read", to, n, len(held))
	gone := slices.DeleteFunc(slices.Clone(held), func(e cdc.Event) bool { return e.Seq > b.Floor })
	if commits {
		older.Commit()
	} else {
		older.Rollback()
	}
	marker := t.Append(log, t.Event()).Seqs[0]
	got := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 100)
	want := 3 + len(events) + 1 - len(gone)
	if commits {
		want += 2
	}
	t.Want(len(got) == want && trial.LastSeq(got) == marker, "after a Trim to %d beside an open transaction, which has ended since (committed: %t), %s are read from the floor %d: want %d events, up to %d", to, commits, trial.EventsText(got), b.Floor, want, marker)
	if !hasAny(gone, []string{events[0].ID}) {
		again := t.Append(log, events[0])
		t.Want(slices.Equal(again.Seqs, newer.Seqs[:1]), "event %d, which a Trim left, was appended again: the receipt is %+v", newer.Seqs[0], again)
	}
}

func trimMany(t *test) {
	const n, kept = 2500, 7
	log := t.open()
	seqs := t.FillFast(log, n)
	b := t.Bounds(log)
	to := seqs[n-kept-1]
	removed := t.trim(log, to)
	now := t.Bounds(log)
	t.Want(removed == n-kept && now.Floor == to && now.Head == b.Head, "a Trim to %d of %d events says that it removed %d, and the bounds are %+v", to, n, removed, now)
	t.SameSeqs(verify.Resumable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: to}, 100)), seqs[n-kept:], "read after a Trim of many")
}

// atFloor is a reader that always reads at the floor that it was told of.
type atFloor struct {
	t    *test
	log  handle
	pos  cdc.Cursor
	want []uint64 // every seq of the log, ascending
}

// read reads one page and checks it.
func (r *atFloor) read() {
	ctx, cancel := r.t.WithPatience()
	defer cancel()
	r.readIn(ctx)
}

func (r *atFloor) readIn(ctx context.Context) {
	page, err := r.log.Read(ctx, r.pos, 1)
	if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
		if reset.Reason != cdc.ReasonTruncated || reset.Floor <= r.pos.Seq {
			r.t.Note(verify.Resumable, "reading after %d while another trims: %v", r.pos.Seq, err)
		}
		r.pos.Seq = max(r.pos.Seq, reset.Floor)
		return
	}
	if err != nil {
		return // its context, or a store that was closed, has ended
	}
	r.t.Checked()
	next := uint64(0)
	if i := slices.IndexFunc(r.want, func(seq uint64) bool { return seq > r.pos.Seq }); i >= 0 {
		next = r.want[i]
	}
	if got := trial.LastSeq(page.Events); got != next && next > 0 {
		r.t.Note(verify.Resumable, "reading after %d while another trims gave %s, and no reset: event %d is missing", r.pos.Seq, trial.EventsText(page.Events), next)
	}
}

// trimAtFloor trims one event after the other, at least one read for each.
func trimAtFloor(t *test) {
	const n = 120
	log := t.open()
	seqs := t.FillFast(log, n)
	epoch := t.Bounds(log).Epoch
	var reads atomic.Int64
	var ended atomic.Bool
	var readers []<-chan struct{}
	for range 2 {
		r := &atFloor{t: t, log: log, pos: cdc.Cursor{Epoch: epoch}, want: seqs}
		readers = append(readers, t.Go(func() {
			for !ended.Load() && t.Ctx.Err() == nil && !t.Failed() {
				r.read()
				reads.Add(1)
			}
		}))
	}
	for _, seq := range seqs[:n-1] {
		was := reads.Load()
		if _, err := t.h.trim(t.Ctx, log.Log, seq); err != nil {
			ended.Store(true)
			t.StoreFailed("Trim", err)
		}
		trial.Within(100*time.Millisecond, func() bool { return reads.Load() > was })
	}
	ended.Store(true)
	for _, r := range readers {
		t.Wait(verify.Bounded, r, "a reader beside a Trim")
	}
	if !t.Failed() {
		t.wasTrimmed(log, seqs[n-2])
	}
}

// looksLimit is how many looks at the context of one call are tried.
const looksLimit = 40

// trimLookedAt reads in the middle of a trim.
func trimLookedAt(t *test) {
	log := t.open()
	epoch := t.Bounds(log).Epoch
	seqs := t.Fill(log, 2)
	for k := 1; k <= looksLimit; k++ {
		seqs = append(seqs, t.Fill(log, 2)...)
		r := &atFloor{t: t, log: log, pos: cdc.Cursor{Epoch: epoch, Seq: t.Bounds(log).Floor}, want: seqs}
		ctx := t.AtLook(k, func() { t.inBetween(r.read) })
		_, err := t.h.trim(ctx, log.Log, seqs[len(seqs)-3])
		t.Trace("Trim %d with a read at look %d %s", seqs[len(seqs)-3], k, trial.ErrText(err))
		if err != nil {
			t.StoreFailed("Trim", err)
		}
		if !ctx.Reached() || t.Failed() {
			break
		}
	}
	t.wasTrimmed(log, seqs[len(seqs)-3])
}

// inBetween does f and waits for its end, but only for a moment: a store that
// looks at the context with its lock held lets nobody in.
func (t *test) inBetween(f func()) {
	select {
	case <-t.Go(f):
	case <-time.After(20 * time.Millisecond):
	}
}

// readLookedAt trims in the middle of a read.
func readLookedAt(t *test) {
	log := t.open()
	t.trim(log, 0)
	epoch := t.Bounds(log).Epoch
	var seqs []uint64
	for k := 1; k <= looksLimit; k++ {
		seqs = append(seqs, t.Fill(log, 3)...)
		r := &atFloor{t: t, log: log, pos: cdc.Cursor{Epoch: epoch, Seq: t.Bounds(log).Floor}, want: seqs}
		to := seqs[len(seqs)-2]
		ctx := t.AtLook(k, func() {
			t.inBetween(func() { _, _ = t.h.trim(t.Ctx, log.Log, to) })
		})
		t.Trace("Read after %d, with a Trim %d at look %d", r.pos.Seq, to, k)
		r.readIn(ctx)
		if !ctx.Reached() || t.Failed() {
			return
		}
		t.trim(log, to)
		t.wasTrimmed(log, to)
	}
}

func trimContextEnds(t *test) {
	log := t.open()
	epoch := t.Bounds(log).Epoch
	seqs := t.Fill(log, 3)
	for k := 1; k <= looksLimit; k++ {
		seqs = append(seqs, t.Fill(log, 2)...)
		ctx := t.EndsAtLook(k)
		to, before := seqs[len(seqs)-2], t.Bounds(log)
		_, err := t.h.trim(ctx, log.Log, to)
		t.Trace("Trim %d whose context ends at look %d %s", to, k, trial.ErrText(err))
		if errors.Is(err, errors.ErrUnsupported) {
			t.StoreFailed("Trim", err)
		}
		b := t.Bounds(log)
		t.Want(err != nil || b.Floor == to, "a Trim to %d returned no error, and the floor is %d", to, b.Floor)
		t.Want(before.Floor <= b.Floor && b.Floor <= to && b.Head == before.Head, "a Trim to %d, whose context ended, took the bounds from %+v to %+v", to, before, b)
		want := seqs[slices.IndexFunc(seqs, func(seq uint64) bool { return seq > b.Floor }):]
		t.SameSeqs(verify.Resumable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: b.Floor}, 100)), want, "read from the floor %d when the context of a Trim to %d had ended in the middle", b.Floor, to)
		if !ctx.Reached() {
			return
		}
	}
}

func trimSecondHandle(t *test) {
	a := t.open()
	b := t.second(a)
	seqs := t.Fill(a, 8)
	epoch := t.Bounds(b).Epoch
	for n := range 3 {
		log, other := a, b
		if n%2 == 1 {
			log, other = b, a
		}
		t.Read(other, cdc.Cursor{Epoch: epoch, Seq: seqs[2*n]}, 1) // so that a cache has something to keep
		to := seqs[2*n+1]
		t.trim(log, to)
		t.Want(t.Bounds(other).Floor == to, "one handle trimmed to %d, the floor of the other is %d", to, t.Bounds(other).Floor)
		page, err := other.Read(t.Ctx, cdc.Cursor{Epoch: epoch, Seq: seqs[2*n]}, 10)
		t.Trace("Read after %d through the other handle → %s", seqs[2*n], trial.PageText(page, err))
		if err == nil { // from memory, a Hub may
			t.Want(len(page.Events) > 0 && page.Events[0].Seq == to, "one handle trimmed to %d, and the other reads after %d: %s", to, seqs[2*n], trial.EventsText(page.Events))
			continue
		}
		t.isReset(err, other, fmt.Sprintf("reading after %d, below the floor of another handle", seqs[2*n]), cdc.ReasonTruncated)
	}
}
