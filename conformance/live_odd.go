package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func liveOddCases() []Case {
	g := verify.Live
	return []Case{
		{Guarantee: g, Situation: "BelowNewer", Sentence: "a transaction that commits below a newer one reaches every stream while the newer one stays open", needs: []need{needThree}, run: belowNewer},
		{Guarantee: g, Situation: "LoneAppend", Sentence: "all events of one append, of one to forty, reach a stream and a subscription with no other commit after them", run: loneAppend},
		{Guarantee: g, Situation: "PartlyKnown", Sentence: "of an append with known and new IDs the new events arrive live, and nothing else", run: partlyKnownLive},
		{Guarantee: g, Situation: "Identical", Sentence: "events that differ in nothing but their seq all arrive", run: identicalLive},
		{Guarantee: g, Situation: "CancelRaces", Sentence: "the context of a Next ends at the k-th look at it, for every k, with an event there: it is delivered now or by the next Next", run: cancelRaces},
		{Guarantee: g, Situation: "SubscribeContextEnds", Sentence: "the context of a Subscribe ends at the k-th look at it, for every k: it is an error, or a subscription that works", run: subscribeContextEnds},
		{Guarantee: g, Situation: "AcrossHandles", Sentence: "a rollback through one handle that makes events readable wakes the subscriptions of the other", needs: []need{needThree, needSecond}, run: rollbackAcrossHandles},
	}
}

func belowNewer(t *test) {
	log := t.open()
	t.Fill(log, 2)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	for range 3 {
		older := t.Begin(log)
		older.Append(2)
		for range 3 { // a log may know of a writer only by looking for those in flight
			t.Bounds(log)
		}
		newer := t.Begin(log)
		newer.Append(1)
		sub := t.Subscribe(log)
		older.Commit()
		_, _ = t.Next(sub, verify.Live, "something for a transaction that committed below a newer one, which is open")
		s.Await(verify.Live, func(p trial.Progress) bool { return hasAny(p.Events, older.IDs()) }, "the events of a transaction that committed below a newer one, which is open, arrive")
		t.CloseSubscription(sub)
		newer.Rollback()
	}
	t.Record(log)
}

func loneAppend(t *test) {
	log := t.open()
	t.Fill(log, 1)
	s := t.Follow("live", log, cdc.Latest(), nil)
	s.AwaitLive()
	r := t.RawAtHead(log)
	for _, n := range []int{1, 2, 3, 5, 8, 40} {
		seqs := t.Append(log, t.Events(n)...).Seqs
		r.Committed(seqs...)
		r.Until(lastOf(seqs))
		s.AwaitEvent(lastOf(seqs))
		for _, seq := range seqs {
			t.Want(s.Progress().HasEvent(seq), "a stream delivered the last event of an append of %d, and not event %d", n, seq)
		}
	}
	t.Record(log)
}

func partlyKnownLive(t *test) {
	log := t.open()
	known := t.Events(3)
	t.Append(log, known...)
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	r := t.RawAtHead(log)
	for n := range 5 {
		events := []cdc.Event{known[n%3], t.Event(), known[(n+1)%3], t.Event()}
		if n%2 == 1 {
			events = events[1:3]
		}
		receipt := t.Append(log, events...)
		last := uint64(0)
		for _, seq := range receipt.Seqs {
			last = max(last, seq)
		}
		r.Until(last)
		s.AwaitEvent(last)
	}
	t.Fence(log, s)
	got := s.Events()
	for i, e := range got {
		t.Want(i == 0 || got[i-1].Seq < e.Seq, "a stream delivered event %d after %d", e.Seq, got[max(0, i-1)].Seq)
	}
	t.Record(log)
}

func identicalLive(t *test) {
	log := t.open()
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitFirst()
	r := t.RawAtHead(log)
	same := cdc.Event{Topic: "same", Type: "same", Key: "same", Data: []byte("same"), Meta: map[string]string{"same": "same"}}
	var all []uint64
	for _, n := range []int{1, 1, 3, 2, 1} {
		events := make([]cdc.Event, n)
		for i := range events {
			events[i] = same
		}
		receipt := t.Append(log, events...)
		t.Want(!receipt.Duplicate, "events without an ID were taken for each other: %+v", receipt)
		all = append(all, receipt.Seqs...)
		r.Committed(receipt.Seqs...)
		r.Until(lastOf(all))
	}
	s.AwaitEvent(lastOf(all))
	t.SameSeqs(verify.Live, trial.SeqsOf(s.Events()), all, "a stream of events that are the same")
	t.SameSeqs(verify.Live, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 3)), all, "read of events that are the same")
}

func cancelRaces(t *test) {
	log := t.open()
	t.Fill(log, 1)
	for k := 1; k <= looksLimit; k++ {
		r := t.RawAtHead(log)
		seqs := t.Append(log, t.Events(2)...).Seqs
		r.Committed(seqs...)
		ctx := t.EndsAtLook(k)
		events, err := r.Sub.Next(ctx)
		t.Trace("Next whose context ends at look %d → %s", k, trial.NextText(events, err))
		switch {
		case err == nil && len(events) > 0:
			r.Take(events)
		case err == nil:
			r.Read()
		case !errors.Is(err, context.Canceled):
			t.Fail(verify.Live, "the context of a Next ended, and its error is %v: want one that is context.Canceled", err)
		}
		if r.Pos.Seq < lastOf(seqs) {
			r.Until(lastOf(seqs))
		}
		t.CloseSubscription(r.Sub)
		if !ctx.Reached() {
			return
		}
	}
}

func subscribeContextEnds(t *test) {
	log := t.open()
	t.Fill(log, 1)
	for k := 1; k <= looksLimit; k++ {
		ctx := t.EndsAtLook(k)
		sub, err := log.Subscribe(ctx)
		t.Trace("Subscribe whose context ends at look %d %s", k, trial.ErrText(err))
		if err != nil {
			t.Checked()
			continue
		}
		t.AtEnd(sub.Close)
		for range 2 {
			t.Fill(log, 1)
			if _, err := t.Next(sub, verify.Live, fmt.Sprintf("something for an event: the context of Subscribe ended at look %d, and it returned no error", k)); err != nil && !errors.Is(err, cdc.ErrLagged) {
				t.Fail(verify.Live, "the context of Subscribe ended at look %d, and it returned a subscription that ended with %v", k, err)
			}
		}
		if !ctx.Reached() {
			return
		}
	}
}

func rollbackAcrossHandles(t *test) {
	a := t.open()
	b := t.second(a)
	t.Fill(a, 1)
	for n := range 4 {
		older, newer := t.Begin(a), t.Begin(a)
		older.Append(1)
		newer.Append(1)
		newer.Commit()
		sub := t.Subscribe(b)
		visible := hasAny(t.ReadAll(b, cdc.Cursor{Epoch: t.Bounds(b).Epoch}, 100), newer.IDs())
		if n%2 == 0 {
			older.Rollback()
		} else {
			older.Commit()
		}
		if !visible {
			_, _ = t.Next(sub, verify.Live, "an older transaction that ended through another handle and made newer events readable")
		}
		t.CloseSubscription(sub)
	}
	t.Record(a)
}
