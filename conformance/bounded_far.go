package conformance

import (
	"math"
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
	log := t.open()
	t.trim(log, 0)
	for range 3 { // so that each store has the buffers that it keeps
		t.churn(log)
	}
	const written, allowed = deadRounds * deadEach * deadSize, deadRounds * deadEach * deadSize / 2
	// The heap is that of the process, in which other tests may run: what a
	// log holds for a subscription it holds at each try, and what they hold
	// it does not.
	var sub cdc.Subscription
	least := int64(math.MaxInt64)
	for try := 0; try < 3 && least >= allowed; try++ {
		sub = t.Subscribe(log)
		before := heapHeld()
		for range deadRounds {
			t.churn(log)
		}
		least = min(least, heapHeld()-before)
	}
	t.Want(least < allowed, "a subscription that nobody reads costs %d KB after %d KB of events, which were trimmed: it has to drop what it cannot hold, and say ErrLagged", least>>10, written>>10)
	_, _ = t.Next(sub, verify.Bounded, "something for the events that nobody has read")
}

const deadRounds, deadEach, deadSize = 40, 250, 2000 // 20 MB

// churn appends a round of events and trims them all, off the record, which would
// hold them.
func (t *test) churn(log handle) {
	events := make([]cdc.Event, deadEach)
	for i := range events {
		events[i] = cdc.Event{Type: "large", Data: make([]byte, deadSize)}
	}
	r, err := t.h.append(t.Ctx, log.Log, events...)
	if err != nil {
		t.StoreFailed("Append", err)
	}
	t.Moved()
	if _, err := t.h.trim(t.Ctx, log.Log, lastOf(r.Seqs)); err != nil {
		t.StoreFailed("Trim", err)
	}
	t.Moved()
}

// heapHeld returns how many bytes of the heap are reachable.
func heapHeld() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
