package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
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

func loneCommit(t *trial) {
	log := t.open()
	t.fill(log, 1)
	s := t.follow("live", log, cdc.Latest, quiet())
	s.live()
	for range 25 {
		s.until(t.append(log, t.event()).Seqs[0])
	}
	sub := t.subscribe(log)
	for range 25 {
		woken := make(chan error, 1)
		ctx, cancel := t.patient()
		go func() { _, err := sub.Next(ctx); woken <- err }()
		t.fill(log, 1)
		err := <-woken
		if ctx.Err() != nil && err != nil {
			cancel()
			t.fail(verify.Live, "a waiting Next was not ended by a commit")
		}
		cancel()
	}
}

func loneTransaction(t *trial) {
	log := t.open()
	t.fill(log, 1)
	s := t.follow("live", log, cdc.Latest, quiet())
	s.live()
	sub := t.subscribe(log)
	for range 10 {
		tx := t.begin(log)
		tx.append(1)
		t.invisible(log, []*transaction{tx})
		early, cancel := context.WithTimeout(t.ctx, 5*time.Millisecond)
		_, _ = sub.Next(early) // a needless wake-up is legal, but it is no substitute
		cancel()
		tx.commit()
		_, _ = t.returns(sub, verify.Live, "something for a transaction that has committed")
		s.await(verify.Live, func() bool { return hasAny(s.events, tx.ids()) }, "the event of a committed transaction arrives, with no other commit after it")
	}
	t.record(log)
}

func betweenNexts(t *trial) {
	log := t.open()
	r := t.rawAt(log)
	for n := range 12 {
		seqs := t.append(log, t.eventsN(1+n%2)...).Seqs
		r.commit(seqs...)
		if n%3 == 0 { // two commits, one Next
			more := t.append(log, t.event()).Seqs
			r.commit(more...)
			seqs = append(seqs, more...)
		}
		r.until(lastOf(seqs))
	}
}

func everySubscription(t *trial) {
	log := t.open()
	var all []*raw
	for range 5 {
		all = append(all, t.rawAt(log))
	}
	for range 5 {
		seq := t.append(log, t.event()).Seqs[0]
		for _, r := range all {
			r.commit(seq)
			r.until(seq)
		}
	}
	t.closeSub(all[0].sub)
	seq := t.append(log, t.event()).Seqs[0]
	for _, r := range all[1:] {
		r.commit(seq)
		r.until(seq)
	}
}

func oldestEndsLast(commit bool) func(*trial) {
	return func(t *trial) {
		log := t.open()
		t.fill(log, 2)
		for n := range 4 {
			older, newer := t.begin(log), t.begin(log)
			older.append(1 + n%2)
			newer.append(1)
			newer.commit()
			sub := t.subscribe(log)
			hub := t.h.hub(log.Log)
			s := t.follow("live when the newer one had committed", log, cdc.Latest, quiet())
			over := t.follow("the same over a Hub", hub, cdc.Latest, quiet())
			s.live()
			over.live()
			visible := hasAny(t.all(log, cdc.Cursor{Epoch: s.first.Epoch}, 100), newer.ids())
			if commit {
				older.commit()
			} else {
				older.rollback()
			}
			if !visible { // it became so now: everyone has to be told
				_, _ = t.returns(sub, verify.Live, "an older transaction that ended and made newer events readable")
				for _, s := range []*stream{s, over} {
					s.await(verify.Live, func() bool { return hasAny(s.events, newer.ids()) }, "the event of the newer transaction arrives when the older one has ended")
				}
			}
			_, _ = s.stop(), over.stop()
			t.finite(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
			t.closeSub(sub)
		}
		t.record(log)
	}
}

func secondHandleLive(t *trial) {
	a := t.open()
	b := t.second(a)
	hub := t.h.hub(b.Log)
	defer func() { _ = hub.Close() }()
	t.fill(a, 2)
	streams := []*stream{
		t.follow("on the first handle", a, cdc.Latest, quiet()),
		t.follow("on the second handle", b, cdc.Latest, quiet()),
		t.follow("over a Hub on the second handle", hub, cdc.Latest, quiet()),
	}
	for _, s := range streams {
		s.live()
	}
	for n := range 10 {
		t.fence([]cdc.Log{a, b}[n%2], streams...)
	}
	for _, s := range streams {
		_ = s.stop()
	}
	t.record(a)
	t.finite(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}

func headIsFresh(t *trial) {
	log := t.open()
	logs := []handle{log}
	if t.h.Second != nil {
		logs = append(logs, t.second(log))
	}
	for n := range 12 {
		for _, l := range logs {
			t.bounds(l) // so that a cache has something to keep
		}
		seq := t.append(logs[n%len(logs)], t.event()).Seqs[0]
		for i, l := range logs {
			b := t.bounds(l)
			t.want(b.Head >= seq && b.Last >= seq, "event %d was acknowledged, and handle %d still has the bounds %+v", seq, i+1, b)
			page := t.read(l, cdc.Cursor{Epoch: b.Epoch, Seq: seq - 1}, 1)
			t.want(len(page.Events) == 1, "event %d was acknowledged, and handle %d does not read it", seq, i+1)
		}
	}
}

// floodSize is more events than a subscription may be expected to hold.
const floodSize = 1500

func lagRearmed(t *trial) {
	log := t.open()
	r := t.rawAt(log)
	for range 3 {
		seqs := t.bulk(log, floodSize)
		r.commit(seqs...)
		r.until(lastOf(seqs))
		for range 3 {
			seq := t.append(log, t.event()).Seqs[0]
			r.commit(seq)
			r.until(seq)
		}
		t.rests(r.sub, "after a lag that was told")
	}
}

func cancelledNextKeeps(t *trial) {
	log := t.open()
	r := t.rawAt(log)
	for range 10 {
		seq := t.append(log, t.event()).Seqs[0]
		r.commit(seq)
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		for range 3 {
			events, err := r.sub.Next(ctx)
			t.trace.add("Next with a context that has ended → %s", nextText(events, err))
			if err == nil {
				r.take(events)
				if len(events) == 0 {
					r.read()
				}
				break
			}
		}
		r.until(seq)
	}
}

func subscribeContext(t *trial) {
	log := t.open()
	ctx, cancel := context.WithCancel(t.ctx)
	sub, err := log.Subscribe(ctx)
	if err != nil {
		t.broken("Subscribe", err)
	}
	t.closers = append(t.closers, sub.Close)
	cancel()
	for range 3 {
		t.fill(log, 1)
		if _, err := t.returns(sub, verify.Live, "an event that was committed after the context of Subscribe had ended"); err != nil && !errors.Is(err, cdc.ErrLagged) {
			t.fail(verify.Live, "the end of the context of Subscribe ended the subscription: %v", err)
		}
	}
}

func rest(t *trial) {
	log := t.open()
	t.fill(log, 3)
	sub := t.subscribe(log)
	for range 2 {
		t.rests(sub, "although nothing was committed")
		t.fill(log, 1)
	}
}

// rests makes sure that Next waits when it has told everything.
func (t *trial) rests(sub cdc.Subscription, when string) {
	for range 200 {
		ctx, cancel := context.WithTimeout(t.ctx, 20*time.Millisecond)
		events, err := sub.Next(ctx)
		waited := err != nil && ctx.Err() != nil
		cancel()
		if waited {
			t.looked()
			return
		}
		t.trace.add("Next → %s", nextText(events, err))
	}
	t.fail(verify.Live, "Next returned 200 times in a row %s: a stream on it would spin", when)
}

func severed(t *trial) {
	log := t.open()
	t.fill(log, 2)
	s := t.follow("over the cut", log, cdc.Latest, quiet())
	s.live()
	cut := 0
	for range 3 {
		cut += t.sever(log)
		t.fence(log, s)
		t.fence(log, s)
	}
	r := t.rawAt(log)
	if cut += t.sever(log); cut == 0 {
		t.useless("Sever", "it cut no connection")
	}
	seq := t.append(log, t.event()).Seqs[0]
	events, err := t.returns(r.sub, verify.Live, fmt.Sprintf("something for event %d, committed around the cut: events, a wake-up, or an error that makes the reader subscribe again", seq))
	t.trace.add("Next after the cut → %s", nextText(events, err))
	t.record(log)
}

func (t *trial) sever(log handle) (cut int) {
	cut, err := t.h.Sever(t.ctx, log.at, log.Log)
	if err != nil {
		t.broken("Sever", err)
	}
	t.trace.add("-- the live side loses %d connections", cut)
	return cut
}
