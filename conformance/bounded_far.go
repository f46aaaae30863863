package conformance

import (
	"runtime"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// far is more events than any buffer that is worth its name holds.
const far = 12_000

// farAboveAnyBuffer lets a subscription lie while much more is appended than it
// may hold.
func farAboveAnyBuffer(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	seqs := t.FillFast(log, far)
	r.Committed(lastOf(seqs) - 1) // searching all of them for each event takes long
	before := lastOf(seqs)
	for r.Pos.Seq < before {
		events, err := t.Next(r.Sub, verify.Live, "something for a committed event")
		if err == nil && len(events) > 0 {
			at, _ := slices.BinarySearch(seqs, r.Pos.Seq+1)
			t.SameSeqs(verify.Bounded, trial.SeqsOf(events), seqs[at:min(len(seqs), at+len(events))], "a subscription that nobody had read while %d events were appended went on after %d without ErrLagged", far, r.Pos.Seq)
			r.Pos.Seq = trial.LastSeq(events)
			continue
		}
		if err == nil || r.Lagged(err) {
			r.Pos.Seq = before
		}
	}
	seq := t.Append(log, t.Event()).Seqs[0]
	r.Committed(seq)
	r.Until(seq)
}

// deadCosts measures what is in memory when nobody reads a subscription.
func deadCosts(t *test) {
	const rounds, each, size = 40, 250, 2000 // 20 MB
	log := t.open()
	t.trim(log, 0)
	sub := t.Subscribe(log)
	data := make([]byte, size)
	round := func() {
		events := make([]cdc.Event, each)
		for i := range events {
			events[i] = cdc.Event{Type: "large", Data: data}
		}
		r, err := t.h.append(t.Ctx, log.Log, events...)
		if err != nil {
			t.StoreFailed("Append", err)
		}
		if _, err := t.h.trim(t.Ctx, log.Log, lastOf(r.Seqs)); err != nil {
			t.StoreFailed("Trim", err)
		}
	}
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range 3 {
		round()
	}
	before := held()
	for range rounds {
		round()
	}
	grown := int64(held()) - int64(before) //nolint:gosec // both are far below
	t.Want(grown < rounds*each*size/2, "a subscription that nobody reads costs %d KB after %d KB of events, which were trimmed: it has to drop what it cannot hold, and say ErrLagged", grown>>10, rounds*each*size>>10)
	_, _ = t.Next(sub, verify.Bounded, "something for the events that nobody has read")
}
