package conformance

import (
	"fmt"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// renew gives the log a new epoch, or skips the case if it cannot have one.
func (t *trial) renew(log handle) {
	old := t.bounds(log).Epoch
	err := t.h.renew(t.ctx, log.Log)
	t.trace.add("Renew %s", errText(err))
	if err != nil {
		t.broken("Renew", err)
	}
	t.wasRenewed(log, old)
}

func (t *trial) wasRenewed(log handle, old string) {
	if t.bounds(log).Epoch == old {
		t.useless("Renew", "the epoch is still "+old)
	}
}

func epochUnderStream(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.fill(log, 5)
		p, tapped := t.tapped(log)
		return t.epochAt(k[0], log, p, tapped)
	})
}

func epochUnderHub(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.fill(log, 5)
		p, tapped := t.tapped(log)
		hub := t.h.hub(tapped)
		defer func() { _ = hub.Close() }()
		return t.epochAt(k[0], log, p, hub)
	})
}

func (t *trial) epochAt(k int, log handle, p *tap, over cdc.Log) bool {
	old := t.bounds(log).Epoch
	t.trace.add("-- a new epoch before call %d", k)
	var renewed atomic.Bool // the call may be under way when the stream is judged
	p.at(k, func() {
		err := t.h.renew(t.ctx, log.Log)
		t.trace.add("Renew %s", errText(err))
		if err != nil {
			t.abilityFailed("Renew", err)
		}
		renewed.Store(err == nil)
	})
	s := t.follow(fmt.Sprintf("new epoch before call %d", k), over, cdc.Beginning, quiet())
	s.await(verify.Live, func() bool { return s.err != nil || s.lives > 0 }, "the stream turns live or ends")
	if !s.ended() {
		marker := t.append(log, t.event())
		s.await(verify.Resumable, func() bool { return s.err != nil || lastSeq(s.events) >= marker.Seqs[0] }, "the stream ends or delivers %d", marker.Seqs[0])
		if !s.ended() && s.first.Epoch != marker.Epoch {
			t.fail(verify.Resumable, "a stream that began in epoch %s delivered an event of epoch %s and no reset", s.first.Epoch, marker.Epoch)
		}
	}
	made := p.fired()
	if renewed.Load() {
		t.wasRenewed(log, old)
	}
	if s.ended() && t.bounds(log).Epoch != old {
		reset := t.resetOf(true, s.ends(), log, fmt.Sprintf("a new epoch before call %d", k), cdc.ReasonEpochChanged, cdc.ReasonForeign)
		t.fence(log, t.follow("after the reset", over, cdc.After(reset.Resume), quiet()))
	}
	_ = s.stop()
	return made
}

func epochBetweenReads(t *trial) {
	log := t.open()
	t.renew(log) // as a rehearsal: below nobody may ask for bounds to see that it did something
	t.fill(log, 6)
	for reads := range 3 {
		pos := cdc.Cursor{Epoch: t.bounds(log).Epoch}
		for range reads {
			pos.Seq = t.read(log, pos, 2).Next
		}
		if err := t.h.renew(t.ctx, log.Log); err != nil {
			t.broken("Renew", err)
		}
		// A Hub may serve what it holds of the old epoch until it hears of the
		// new one; nobody asks for bounds meanwhile.
		var err error
		t.soon(verify.Resumable, func() bool {
			_, err = t.tryRead(log, pos, 2)
			return err != nil
		}, "a Read with the old epoch after Bounds and %d reads is refused", reads)
		t.isReset(err, log, fmt.Sprintf("a Read with the old epoch after Bounds and %d reads", reads), cdc.ReasonForeign)
	}
}

func epochEndsSubscription(t *trial) {
	log := t.open()
	t.fill(log, 3)
	s := t.follow("open", log, cdc.Latest, quiet())
	s.live()
	old := s.first
	t.renew(log)
	t.isReset(s.ends(), log, "a new epoch under a live stream", cdc.ReasonEpochChanged)
	_, err := t.tryRead(log, old, 10)
	t.isReset(err, log, "reading with the cursor of the old epoch", cdc.ReasonForeign)
}
