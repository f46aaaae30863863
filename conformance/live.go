package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func liveCases() []Case {
	g := verify.Live
	return []Case{
		{Guarantee: g, Situation: "LoneCommit", Sentence: "one commit reaches a live stream and a waiting Next, with no other commit after it", run: loneCommit},
		{Guarantee: g, Situation: "LoneTransaction", Sentence: "the same for a transaction, which notified nobody when it appended", needs: []need{needBegin}, run: loneTransaction},
		{Guarantee: g, Situation: "BetweenNexts", Sentence: "a commit between two calls of Next ends the second", run: betweenNexts},
		{Guarantee: g, Situation: "EverySubscription", Sentence: "a commit ends the Next of every subscription", run: everySubscription},
		{Guarantee: g, Situation: "OldestEndsLast/rollback", Sentence: "a subscription that was made after the newer transaction committed is woken when the older one rolls back, with no further commit", needs: []need{needThree}, run: oldestEndsLast(false)},
		{Guarantee: g, Situation: "OldestEndsLast/commit", Sentence: "the same when the older one commits", needs: []need{needThree}, run: oldestEndsLast(true)},
		{Guarantee: g, Situation: "SecondHandle", Sentence: "a commit through one handle reaches a stream on another, and a Hub on it", needs: []need{needSecond}, run: secondHandleLive},
		{Guarantee: g, Situation: "HeadIsFresh", Sentence: "what was acknowledged is in the next Bounds and Read, whoever asks", run: headIsFresh},
		{Guarantee: g, Situation: "LagRearmed", Sentence: "after ErrLagged the subscription returns what comes next", run: lagRearmed},
		{Guarantee: g, Situation: "CancelledNextKeeps", Sentence: "a Next that its context ended has consumed nothing", run: cancelledNextKeeps},
		{Guarantee: g, Situation: "SubscribeContext", Sentence: "the context of Subscribe does not end the subscription", run: subscribeContext},
		{Guarantee: g, Situation: "Rest", Sentence: "Next waits when there is nothing: it does not wake for ever", run: rest},
		{Guarantee: g, Situation: "Severed", Sentence: "after the live connection was cut, what was committed meanwhile and later arrives", needs: []need{needSever}, run: severed},
	}
}

func loneCommit(t *test) {
	log := t.open()
	t.Fill(log, 1)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	for range 25 {
		s.AwaitEvent(t.Append(log, t.Event()).Seqs[0])
	}
	sub := t.Subscribe(log)
	for range 25 {
		woken := make(chan error, 1)
		ctx, cancel := t.WithPatience()
		go func() { _, err := sub.Next(ctx); woken <- err }()
		t.Fill(log, 1)
		err := <-woken
		if ctx.Err() != nil && err != nil {
			cancel()
			t.Fail(verify.Live, "a waiting Next was not ended by a commit")
		}
		cancel()
	}
}

func loneTransaction(t *test) {
	log := t.open()
	t.Fill(log, 1)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	sub := t.Subscribe(log)
	for range 10 {
		tx := t.Begin(log)
		tx.Append(1)
		t.invisible(log, []*trial.Tx{tx})
		early, cancel := context.WithTimeout(t.Ctx, 5*time.Millisecond)
		_, _ = sub.Next(early) // a needless wake-up is legal, but it is no substitute
		cancel()
		tx.Commit()
		_, _ = t.Next(sub, verify.Live, "something for a transaction that has committed")
		s.Await(verify.Live, func(p trial.Progress) bool { return hasAny(p.Events, tx.IDs()) }, "the event of a committed transaction arrives, with no other commit after it")
	}
	t.Record(log)
}

func betweenNexts(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	for n := range 12 {
		seqs := t.Append(log, t.Events(1+n%2)...).Seqs
		r.Committed(seqs...)
		if n%3 == 0 { // two commits, one Next
			more := t.Append(log, t.Event()).Seqs
			r.Committed(more...)
			seqs = append(seqs, more...)
		}
		r.Until(lastOf(seqs))
	}
}

func everySubscription(t *test) {
	log := t.open()
	var all []*trial.Raw
	for range 5 {
		all = append(all, t.RawAtHead(log))
	}
	for range 5 {
		seq := t.Append(log, t.Event()).Seqs[0]
		for _, r := range all {
			r.Committed(seq)
			r.Until(seq)
		}
	}
	t.CloseSubscription(all[0].Sub)
	seq := t.Append(log, t.Event()).Seqs[0]
	for _, r := range all[1:] {
		r.Committed(seq)
		r.Until(seq)
	}
}

func oldestEndsLast(commit bool) func(*test) {
	return func(t *test) {
		log := t.open()
		t.Fill(log, 2)
		for n := range 4 {
			older, newer := t.Begin(log), t.Begin(log)
			older.Append(1 + n%2)
			newer.Append(1)
			newer.Commit()
			sub := t.Subscribe(log)
			hub := t.h.hub(log.Log)
			s := t.Follow("live when the newer one had committed", log, cdc.Latest(), trial.Quiet())
			over := t.Follow("the same over a Hub", hub, cdc.Latest(), trial.Quiet())
			s.AwaitLive()
			over.AwaitLive()
			visible := hasAny(t.ReadAll(log, cdc.Cursor{Epoch: s.First().Epoch}, 100), newer.IDs())
			if commit {
				older.Commit()
			} else {
				older.Rollback()
			}
			if !visible { // it became so now: everyone has to be told
				_, _ = t.Next(sub, verify.Live, "an older transaction that ended and made newer events readable")
				for _, s := range []*trial.Stream{s, over} {
					s.Await(verify.Live, func(p trial.Progress) bool { return hasAny(p.Events, newer.IDs()) }, "the event of the newer transaction arrives when the older one has ended")
				}
			}
			_, _ = s.Stop(), over.Stop()
			t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
			t.CloseSubscription(sub)
		}
		t.Record(log)
	}
}

func secondHandleLive(t *test) {
	a := t.open()
	b := t.second(a)
	hub := t.h.hub(b.Log)
	defer func() { _ = hub.Close() }()
	t.Fill(a, 2)
	streams := []*trial.Stream{
		t.Follow("on the first handle", a, cdc.Latest(), trial.Quiet()),
		t.Follow("on the second handle", b, cdc.Latest(), trial.Quiet()),
		t.Follow("over a Hub on the second handle", hub, cdc.Latest(), trial.Quiet()),
	}
	for _, s := range streams {
		s.AwaitLive()
	}
	for n := range 10 {
		t.Fence([]cdc.Log{a, b}[n%2], streams...)
	}
	for _, s := range streams {
		_ = s.Stop()
	}
	t.Record(a)
	t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}

func headIsFresh(t *test) {
	log := t.open()
	logs := []handle{log}
	if t.h.Second != nil {
		logs = append(logs, t.second(log))
	}
	for n := range 12 {
		for _, l := range logs {
			t.Bounds(l) // so that a cache has something to keep
		}
		seq := t.Append(logs[n%len(logs)], t.Event()).Seqs[0]
		for i, l := range logs {
			b := t.Bounds(l)
			t.Want(b.Head >= seq && b.Last >= seq, "event %d was acknowledged, and handle %d still has the bounds %+v", seq, i+1, b)
			page := t.Read(l, cdc.Cursor{Epoch: b.Epoch, Seq: seq - 1}, 1)
			t.Want(len(page.Events) == 1, "event %d was acknowledged, and handle %d does not read it", seq, i+1)
		}
	}
}

// floodSize is more events than a subscription may be expected to hold.
const floodSize = 1500

func lagRearmed(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	for range 3 {
		seqs := t.FillFast(log, floodSize)
		r.Committed(seqs...)
		r.Until(lastOf(seqs))
		for range 3 {
			seq := t.Append(log, t.Event()).Seqs[0]
			r.Committed(seq)
			r.Until(seq)
		}
		t.rests(r.Sub, "after a lag that was told")
	}
}

func cancelledNextKeeps(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	for range 10 {
		seq := t.Append(log, t.Event()).Seqs[0]
		r.Committed(seq)
		ctx, cancel := context.WithCancel(t.Ctx)
		cancel()
		for range 3 {
			events, err := r.Sub.Next(ctx)
			t.Trace("Next with a context that has ended → %s", trial.NextText(events, err))
			if err == nil {
				r.Take(events)
				if len(events) == 0 {
					r.Read()
				}
				break
			}
		}
		r.Until(seq)
	}
}

func subscribeContext(t *test) {
	log := t.open()
	ctx, cancel := context.WithCancel(t.Ctx)
	sub, err := log.Subscribe(ctx)
	if err != nil {
		t.StoreFailed("Subscribe", err)
	}
	t.AtEnd(sub.Close)
	cancel()
	for range 3 {
		t.Fill(log, 1)
		if _, err := t.Next(sub, verify.Live, "an event that was committed after the context of Subscribe had ended"); err != nil && !errors.Is(err, cdc.ErrLagged) {
			t.Fail(verify.Live, "the end of the context of Subscribe ended the subscription: %v", err)
		}
	}
}

func rest(t *test) {
	log := t.open()
	t.Fill(log, 3)
	sub := t.Subscribe(log)
	for range 2 {
		t.rests(sub, "although nothing was committed")
		t.Fill(log, 1)
	}
}

// rests makes sure that Next waits when it has told everything.
func (t *test) rests(sub cdc.Subscription, when string) {
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Ctx, 20*time.Millisecond)
		events, err := sub.Next(ctx)
		waited := err != nil && ctx.Err() != nil
		cancel()
		if waited {
			t.Checked()
			return
		}
		t.Trace("Next → %s", trial.NextText(events, err))
	}
	t.Fail(verify.Live, "Next returned 200 times in a row %s: a stream on it would spin", when)
}

func severed(t *test) {
	log := t.open()
	t.Fill(log, 2)
	s := t.Follow("over the cut", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	cut := 0
	for range 3 {
		cut += t.sever(log)
		t.Fence(log, s)
		t.Fence(log, s)
	}
	r := t.RawAtHead(log)
	if cut += t.sever(log); cut == 0 {
		t.DidNothing("Sever", "it cut no connection")
	}
	seq := t.Append(log, t.Event()).Seqs[0]
	events, err := t.Next(r.Sub, verify.Live, fmt.Sprintf("something for event %d, committed around the cut: events, a wake-up, or an error that makes the reader subscribe again", seq))
	t.Trace("Next after the cut → %s", trial.NextText(events, err))
	t.Record(log)
}

func (t *test) sever(log handle) (cut int) {
	cut, err := t.h.Sever(t.Ctx, log.at, log.Log)
	if err != nil {
		t.StoreFailed("Sever", err)
	}
	t.Trace("-- the live side loses %d connections", cut)
	return cut
}
