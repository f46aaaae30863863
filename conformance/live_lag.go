package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// lagCases are about what a lag leaves behind.
func lagCases() []Case {
	g := verify.Bounded
	return []Case{
		{Guarantee: g, Situation: "CancelledNextKeepsLag", Sentence: "a Next whose context has ended does not swallow ErrLagged: what was dropped is said, or returned", run: cancelledKeepsLag},
		{Guarantee: g, Situation: "TrimUnread", Sentence: "a trim takes no unread event from a subscription without ErrLagged or a wake-up", run: trimUnread},
		{Guarantee: g, Situation: "LagOnce", Sentence: "ErrLagged comes once for a hole, and after it what comes from then on", run: lagOnce},
	}
}

func cancelledKeepsLag(t *test) {
	log := t.open()
	ended, cancel := context.WithCancel(t.Ctx)
	cancel()
	for range 3 {
		r := t.RawAtHead(log)
		r.Committed(t.FillFast(log, floodSize)...)
		for range 3 {
			events, err := r.Sub.Next(ended)
			t.Trace("Next with a context that has ended → %s", trial.NextText(events, err))
			if err == nil && len(events) > 0 {
				r.Take(events)
			} else if err == nil || errors.Is(err, cdc.ErrLagged) {
				r.Read()
			}
		}
		marker := t.Append(log, t.Event()).Seqs[0]
		r.Committed(marker)
		r.Until(marker)
	}
}

func trimUnread(t *test) {
	log := t.open()
	for _, upTo := range []int{3, 5, 0} {
		r := t.RawAtHead(log)
		seqs := t.Fill(log, 6)
		r.Committed(seqs...)
		t.trim(log, seqs[upTo])
		marker := t.Append(log, t.Event()).Seqs[0]
		r.Committed(marker)
		for r.Pos.Seq < marker {
			events, err := t.Next(r.Sub, verify.Live, "something for a committed event")
			if err == nil && len(events) > 0 {
				r.Take(events)
			} else if err == nil || r.Lagged(err) { // whoever reads now is told that it is truncated
				r.Pos.Seq = max(r.Pos.Seq, t.Bounds(log).Floor)
				r.Read()
			}
		}
	}
}

// lagOnce is strict in virtual time only: elsewhere events may be on their way
// for as long as they like, and overflow again.
func lagOnce(t *test) {
	log := t.open()
	for range 3 {
		r := t.RawAtHead(log)
		seqs := t.FillFast(log, floodSize)
		r.Committed(seqs...)
		if trial.InBubble() {
			time.Sleep(time.Second)
		}
		r.Until(lastOf(seqs))
		lags := r.Lags
		marker := t.Append(log, t.Event()).Seqs[0]
		for r.Pos.Seq < marker {
			events, err := t.Next(r.Sub, verify.Live, "something for a committed event")
			switch {
			case err == nil && len(events) > 0:
				again := lags > 0 && events[0].Seq <= lastOf(seqs)
				t.Want(!again || !trial.InBubble(), "a subscription lagged, and went on with event %d, which it had dropped: after ErrLagged it holds what comes from then on, event %d", events[0].Seq, marker)
				r.Take(events)
			case err == nil || r.Lagged(err):
				r.Read()
			}
		}
		t.Want(r.Lags <= max(lags, 1) || !trial.InBubble(), "ErrLagged came %d times for one hole", r.Lags)
	}
}
