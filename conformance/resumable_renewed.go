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

func renewedCases() []Case {
	g := verify.Resumable
	return []Case{
		{Guarantee: g, Situation: "EpochsDiffer", Sentence: "each new epoch is one that the log never had, and the one that Renew returns", run: epochsDiffer},
		{Guarantee: g, Situation: "EpochAfterTrim", Sentence: "a new epoch of a trimmed log leaves the floor where it is, and cursors of the new epoch below it are truncated", run: epochAfterTrim},
		{Guarantee: g, Situation: "EpochEndsEvery", Sentence: "a new epoch ends or wakes every subscription: one that waits, that has unread events, that lags, that was made last", run: epochEndsEvery},
		{Guarantee: g, Situation: "EpochSecondHandle", Sentence: "a new epoch given through one handle ends streams and Hubs of another, ends or wakes its subscriptions, which knows it at once", needs: []need{needSecond}, run: epochSecondHandle},
		{Guarantee: g, Situation: "EpochContextEnds", Sentence: "the context of a Renew ends at the k-th look at it, for every k: the log has its old epoch, or a new one that its subscriptions were told of", run: epochContextEnds},
		{Guarantee: g, Situation: "FarCursor", Sentence: "a cursor at the end of its type is future, whatever the log holds, and foreign with another epoch", run: farCursor},
	}
}

func epochsDiffer(t *test) {
	log := t.open()
	known := t.Event()
	t.Append(log, known, t.Event())
	seen := map[string]bool{t.Bounds(log).Epoch: true}
	for n := range 6 {
		returned := ""
		if t.h.Renew == nil {
			epoch, err := cdc.Renew(t.Ctx, log.Log)
			if err != nil {
				t.StoreFailed("Renew", err)
			}
			returned = epoch
		} else {
			t.renew(log)
		}
		r := t.Append(log, t.Event())
		b := t.Bounds(log)
		t.Want(!seen[b.Epoch], "renewal %d gave the log the epoch %q, which it had before: a cursor of then is taken for one of now", n+1, b.Epoch)
		t.Want(returned == "" || returned == b.Epoch, "Renew returned the epoch %q, the log has %q", returned, b.Epoch)
		seen[b.Epoch] = true
		t.Want(r.Epoch == b.Epoch, "an Append returned the epoch %q, the log has %q", r.Epoch, b.Epoch)
		r = t.Append(log, known)
		t.Want(r.Duplicate && r.Epoch == b.Epoch, "an ID of an older epoch was appended again: the receipt is %+v, the log has the epoch %q", r, b.Epoch)
	}
}

func epochAfterTrim(t *test) {
	log := t.open()
	seqs := t.Fill(log, 7)
	for _, to := range []int{2, 4, 6} {
		t.trim(log, seqs[to])
		before := t.Bounds(log)
		sub := t.Subscribe(log)
		t.renew(log)
		_, err := t.Next(sub, verify.Resumable, "the reset of a new epoch, or a wake-up")
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
			t.isReset(reset, log, "a subscription on a trimmed log that got a new epoch", cdc.ReasonEpochChanged)
		}
		b := t.Bounds(log)
		t.Want(b.Floor == before.Floor && b.Head == before.Head && b.Last == before.Last, "a new epoch of a log trimmed to %d took the bounds from %+v to %+v", seqs[to], before, b)
		_, err = t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seqs[to] - 1}, 10)
		t.isReset(err, log, "a cursor of the new epoch, below the floor", cdc.ReasonTruncated)
		got := trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 10))
		t.SameSeqs(verify.Resumable, got, seqs[to+1:], "read from the floor %d of the new epoch", b.Floor)
	}
	before := t.Bounds(log)
	seq := t.Append(log, t.Event()).Seqs[0]
	t.Want(seq > before.Last, "the first append of the new epoch got the seq %d, the last one before was %d", seq, before.Last)
}

// ends makes sure that the subscription ends with a reset, or makes its reader
// read, who is told then: by a wake-up or a lag, but not by what it had before.
func (t *test) ends(sub cdc.Subscription, what string) {
	for range 2 * floodSize { // unread events may come one by one
		events, err := t.Next(sub, verify.Resumable, "the reset of a new epoch, or a wake-up, for "+what)
		if err == nil && len(events) > 0 {
			continue
		}
		if err == nil || errors.Is(err, cdc.ErrLagged) {
			return
		}
		reset, ok := errors.AsType[*cdc.ResetError](err)
		t.Want(ok && reset.Reason == cdc.ReasonEpochChanged, "the log got a new epoch, and %s ended with %v: want a *ResetError with reason %s", what, err, cdc.ReasonEpochChanged)
		return
	}
	t.Fail(verify.Resumable, "the log got a new epoch, and %s goes on", what)
}

func epochEndsEvery(t *test) {
	log := t.open()
	t.Fill(log, 2)
	lagging := t.Subscribe(log)
	t.FillFast(log, floodSize)
	unread := t.Subscribe(log)
	t.Fill(log, 3)
	var idle []cdc.Subscription
	for range 4 {
		idle = append(idle, t.Subscribe(log))
	}
	waiting := make(chan error, 1)
	ctx, cancel := t.WithPatience()
	defer cancel()
	waits := t.Subscribe(log)
	done := t.Go(func() { _, err := waits.Next(ctx); waiting <- err })
	time.Sleep(2 * time.Millisecond) // so that it waits
	t.renew(log)
	t.Wait(verify.Resumable, done, "a Next that waits when the log gets a new epoch")
	if err := <-waiting; err != nil { // otherwise it was a wake-up
		t.Want(ctx.Err() == nil, "a Next that waits was not ended by a new epoch")
		t.ends(waits, "a subscription whose Next waited")
	}
	for i, sub := range idle {
		t.ends(sub, fmt.Sprintf("subscription %d of %d that were up to date", i+1, len(idle)))
	}
	t.ends(unread, "a subscription with unread events")
	t.ends(lagging, "a subscription that lagged")
	err := t.nextOfFresh(log)
	if err != nil && t.h.overHub { // it may have learnt of the epoch only then
		err = t.nextOfFresh(log)
	}
	t.Want(err == nil, "a subscription made in the new epoch ended with %v", err)
}

func (t *test) nextOfFresh(log cdc.Log) error {
	fresh := t.Subscribe(log)
	t.Fill(log, 1)
	_, err := t.Next(fresh, verify.Live, "something for a commit in the new epoch")
	return err
}

func epochSecondHandle(t *test) {
	a := t.open()
	b := t.second(a)
	t.Fill(a, 3)
	for n := range 2 {
		by, other := a, b
		if n == 1 {
			by, other = b, a
		}
		hub := t.h.hub(other.Log)
		old := t.Bounds(other)
		t.Read(other, cdc.Cursor{Epoch: old.Epoch}, 2)
		s := t.Follow("on the other handle", other, cdc.Latest(), trial.Quiet())
		over := t.Follow("over a Hub on the other handle", hub, cdc.Latest(), trial.Quiet())
		subs := []cdc.Subscription{t.Subscribe(other), t.Subscribe(other), t.Subscribe(by)}
		s.AwaitLive()
		over.AwaitLive()
		t.renew(by)
		now := t.Bounds(other)
		t.Want(now.Epoch == t.Bounds(by).Epoch, "one handle renewed the log: it has the epoch %q, the other %q", t.Bounds(by).Epoch, now.Epoch)
		if !t.h.overHub { // a Hub has the old pages until its streams end
			t.refusesEpoch(other, old.Epoch)
		}
		t.Read(other, cdc.Cursor{Epoch: now.Epoch}, 10)
		for i, sub := range subs {
			t.ends(sub, fmt.Sprintf("subscription %d", i+1))
		}
		t.isReset(s.AwaitEnd(), other, "a stream on the other handle", cdc.ReasonEpochChanged)
		t.isReset(over.AwaitEnd(), other, "a stream over a Hub on the other handle", cdc.ReasonEpochChanged)
		t.refusesEpoch(other, old.Epoch)
		r := t.Append(other, t.Event())
		t.Want(r.Epoch == now.Epoch, "an Append through the other handle returned the epoch %q, the log has %q", r.Epoch, now.Epoch)
		t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
	}
}

func (t *test) refusesEpoch(other cdc.Source, epoch string) {
	_, err := t.TryRead(other, cdc.Cursor{Epoch: epoch}, 10)
	t.isReset(err, other, "reading with the old epoch through the other handle", cdc.ReasonForeign)
}

func epochContextEnds(t *test) {
	log := t.open()
	t.Fill(log, 2)
	for k := 1; k <= looksLimit; k++ {
		before := t.Bounds(log)
		sub := t.Subscribe(log)
		ctx := t.EndsAtLook(k)
		err := t.renewWith(ctx, log)
		if errors.Is(err, cdc.ErrUnknownOutcome) { // it may happen yet: the next one comes after it
			t.renew(log)
		}
		b := t.Bounds(log)
		t.Want(err != nil || b.Epoch != before.Epoch, "Renew returned no error, and the epoch is still %q", b.Epoch)
		if b.Epoch != before.Epoch {
			t.ends(sub, "a subscription, though the context of Renew had ended")
		}
		before.Epoch = b.Epoch
		t.Want(b == before, "a Renew whose context ended at look %d took the bounds from %+v to %+v", k, before, b)
		got := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 10)
		t.Want(len(got) == 2, "after a Renew whose context ended at look %d the log holds %s, want 2 events", k, trial.EventsText(got))
		t.CloseSubscription(sub)
		if !ctx.Reached() {
			return
		}
	}
}

func (t *test) renewWith(ctx context.Context, log handle) error {
	err := t.h.renew(ctx, log.Log)
	t.Trace("Renew with a context that ends %s", trial.ErrText(err))
	if errors.Is(err, errors.ErrUnsupported) {
		t.StoreFailed("Renew", err)
	}
	return err
}

func farCursor(t *test) {
	log := t.open()
	for n := range 2 {
		epoch := t.Bounds(log).Epoch
		for _, seq := range []uint64{1 << 31, 1<<31 + 1, 1 << 32, 1<<32 + 1, 1 << 53, 1<<63 - 1, 1 << 63, 1<<63 + 1, 1<<64 - 2, 1<<64 - 1} {
			c := cdc.Cursor{Epoch: epoch, Seq: seq}
			_, err := t.TryRead(log, c, 10)
			if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
				t.Want(reset.Requested == c.String(), "a cursor at %d was refused, and the reset says that %q was requested", seq, reset.Requested)
			}
			t.isReset(err, log, fmt.Sprintf("a cursor at %d in a log of %d events", seq, 3*n), cdc.ReasonFuture)
			_, err = t.TryRead(log, cdc.Cursor{Epoch: "another", Seq: seq}, 10)
			t.isReset(err, log, fmt.Sprintf("a cursor at %d with another epoch", seq), cdc.ReasonForeign)
			s := t.Follow(fmt.Sprintf("from %d", seq), log, cdc.After(cdc.Cursor{Epoch: epoch, Seq: seq}), trial.Quiet())
			t.isReset(s.AwaitEnd(), log, fmt.Sprintf("a stream from %d", seq), cdc.ReasonFuture)
		}
		t.Fill(log, 3)
	}
}
