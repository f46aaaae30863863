package conformance

import (
	"errors"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// subscribe opens a subscription without a stream on it.
func (t *trial) subscribe(log cdc.Subscriber) cdc.Subscription {
	ctx, cancel := t.patient()
	defer cancel()
	sub, err := log.Subscribe(ctx)
	t.trace.add("Subscribe → %s", orOK(err))
	if err != nil {
		t.broken("Subscribe", err)
	}
	t.looked()
	t.closers = append(t.closers, sub.Close)
	return sub
}

func (t *trial) closeSub(sub cdc.Subscription) {
	t.finite(verify.Contained, "Subscription.Close", func() {
		if err := sub.Close(); err != nil {
			t.note(verify.Contained, "Subscription.Close returned %v", err)
		}
	})
}

// returns calls Next, which something has to end in time: why names it.
func (t *trial) returns(sub cdc.Subscription, g Guarantee, why string) ([]cdc.Event, error) {
	ctx, cancel := t.patient()
	defer cancel()
	t.looked()
	events, err := sub.Next(ctx)
	t.trace.add("Next → %s", nextText(events, err))
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		t.fail(g, "Next did not return within %v: it has to return %s", t.opts.Patience, why)
	}
	return events, err
}

// raw follows a subscription by hand, as the contract of [cdc.Subscription]
// says: events in order without a hole, or a wake-up or a lag and then a read.
type raw struct {
	t     *trial
	log   cdc.Log
	sub   cdc.Subscription
	pos   cdc.Cursor
	known []uint64 // every committed seq above the start
	lags  int
}

// rawAt subscribes, with the position at the head.
func (t *trial) rawAt(log cdc.Log) *raw {
	r := &raw{t: t, log: log, sub: t.subscribe(log)}
	b := t.bounds(log)
	r.pos = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
	return r
}

// commit tells of events that were committed.
func (r *raw) commit(seqs ...uint64) { r.known = append(r.known, seqs...) }

// until calls Next until the position has reached seq.
func (r *raw) until(seq uint64) {
	for r.pos.Seq < seq {
		events, err := r.t.returns(r.sub, verify.Live, "something for a committed event")
		switch {
		case err == nil && len(events) > 0:
			r.take(events)
		case err == nil || r.lagged(err):
			r.read()
		}
	}
}

func (r *raw) read() {
	events := r.t.all(r.log, r.pos, 1000)
	if n := lastSeq(events); n > 0 {
		r.pos.Seq = max(r.pos.Seq, n)
	}
}

// take checks the events of one Next. Those that a read has brought already
// may come again, in order.
func (r *raw) take(events []cdc.Event) {
	r.t.looked()
	for i, e := range events {
		if i > 0 && e.Seq <= events[i-1].Seq {
			r.t.fail(verify.Unique, "Next returned %s: events must ascend, each once", eventsText(events))
		}
	}
	for _, e := range events {
		if e.Seq <= r.pos.Seq {
			continue
		}
		for _, seq := range r.known {
			if r.pos.Seq < seq && seq < e.Seq {
				r.t.fail(verify.Bounded, "Next returned %s after %d and no ErrLagged: missing %d", eventsText(events), r.pos.Seq, seq)
			}
		}
		r.pos.Seq = e.Seq
	}
}

// lagged reports whether the error is a lag; any other ends the case.
func (r *raw) lagged(err error) bool {
	if errors.Is(err, cdc.ErrLagged) {
		r.lags++
		return true
	}
	r.t.broken("Next", err)
	return false
}
