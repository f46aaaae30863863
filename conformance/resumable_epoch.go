package conformance

import (
	"fmt"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// renew gives the log a new epoch, or skips the case if it cannot have one.
func (t *test) renew(log handle) {
	old := t.Bounds(log).Epoch
	err := t.h.renew(t.Ctx, log.Log)
	t.Trace("Renew %s", trial.ErrText(err))
	if err != nil {
		t.StoreFailed("Renew", err)
	}
	t.wasRenewed(log, old)
}

func (t *test) wasRenewed(log handle, old string) {
	if t.Bounds(log).Epoch == old {
		t.DidNothing("Renew", "the epoch is still "+old)
	}
}

func epochUnderStream(t *test) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.Fill(log, 5)
		p, tapped := t.tapped(log)
		return t.epochAt(k[0], log, p, tapped)
	})
}

func epochUnderHub(t *test) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.Fill(log, 5)
		p, tapped := t.tapped(log)
		hub := t.h.hub(tapped)
		defer func() { _ = hub.Close() }()
		return t.epochAt(k[0], log, p, hub)
	})
}

func (t *test) epochAt(k int, log handle, p *trial.Tap, over cdc.Log) bool {
	old := t.Bounds(log).Epoch
	t.Trace("-- a new epoch before call %d", k)
	var renewed atomic.Bool // the call may be under way when the stream is judged
	p.Before(k, func() {
		err := t.h.renew(t.Ctx, log.Log)
		t.Trace("Renew %s", trial.ErrText(err))
		if err != nil {
			t.NoteStoreFailed("Renew", err)
		}
		renewed.Store(err == nil)
	})
	s := t.Follow(fmt.Sprintf("new epoch before call %d", k), over, cdc.Beginning(), trial.Quiet())
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream turns live or ends")
	if !s.Ended() {
		marker := t.Append(log, t.Event())
		s.Await(verify.Resumable, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= marker.Seqs[0] }, "the stream ends or delivers %d", marker.Seqs[0])
		if !s.Ended() && s.First().Epoch != marker.Epoch {
			t.Fail(verify.Resumable, "a stream that began in epoch %s delivered an event of epoch %s and no reset", s.First().Epoch, marker.Epoch)
		}
	}
	made := p.Fired()
	if renewed.Load() {
		t.wasRenewed(log, old)
	}
	if s.Ended() && t.Bounds(log).Epoch != old {
		reset := t.resetOf(true, s.AwaitEnd(), log, fmt.Sprintf("a new epoch before call %d", k), cdc.ReasonEpochChanged, cdc.ReasonForeign)
		t.Fence(log, t.Follow("after the reset", over, cdc.After(reset.Resume), trial.Quiet()))
	}
	_ = s.Stop()
	return made
}

func epochBetweenReads(t *test) {
	log := t.open()
	t.renew(log) // as a rehearsal: below nobody may ask for bounds to see that it did something
	t.Fill(log, 6)
	for reads := range 3 {
		pos := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
		for range reads {
			pos.Seq = t.Read(log, pos, 2).Next
		}
		if err := t.h.renew(t.Ctx, log.Log); err != nil {
			t.StoreFailed("Renew", err)
		}
		// A Hub may serve what it holds of the old epoch until it hears of the
		// new one; nobody asks for bounds meanwhile.
		var err error
		t.Eventually(verify.Resumable, func() bool {
			_, err = t.TryRead(log, pos, 2)
			return err != nil
		}, "a Read with the old epoch after Bounds and %d reads is refused", reads)
		t.isReset(err, log, fmt.Sprintf("a Read with the old epoch after Bounds and %d reads", reads), cdc.ReasonForeign)
	}
}

func epochEndsSubscription(t *test) {
	log := t.open()
	t.Fill(log, 3)
	s := t.Follow("open", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	old := s.First()
	t.renew(log)
	t.isReset(s.AwaitEnd(), log, "a new epoch under a live stream", cdc.ReasonEpochChanged)
	_, err := t.TryRead(log, old, 10)
	t.isReset(err, log, "reading with the cursor of the old epoch", cdc.ReasonForeign)
}
