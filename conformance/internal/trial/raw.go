package trial

import (
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Subscribe opens a subscription without a stream on it.
func (t *Trial) Subscribe(log cdc.Subscriber) cdc.Subscription {
	ctx, cancel := t.WithPatience()
	defer cancel()
	sub, err := log.Subscribe(ctx)
	t.Trace("Subscribe %s", ErrText(err))
	if err != nil {
		t.StoreFailed("Subscribe", err)
	}
	t.Checked()
	t.AtEnd(sub.Close)
	return sub
}

// CloseSubscription closes it, which has to end in time without an error.
func (t *Trial) CloseSubscription(sub cdc.Subscription) {
	t.InTime(verify.Contained, "Subscription.Close", func() {
		if err := sub.Close(); err != nil {
			t.Note(verify.Contained, "Subscription.Close returned %v", err)
		}
	})
}

// Next calls Next, which something has to end in time: why names it.
func (t *Trial) Next(sub cdc.Subscription, g verify.Guarantee, why string) ([]cdc.Event, error) {
	ctx, cancel := t.WithPatience()
	defer cancel()
	t.Checked()
	events, err := sub.Next(ctx)
	t.Trace("Next → %s", NextText(events, err))
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		t.Fail(g, "Next did not return within %v: it has to return %s", t.Settings.Patience, why)
	}
	return events, err
}

// FinalError calls Next until it returns an error, and returns that.
func (t *Trial) FinalError(sub cdc.Subscription) error {
	const most = 10_000
	for range most {
		if _, err := sub.Next(t.Ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("nothing, %d times", most)
}

// Raw follows a subscription without [cdc.Follow], as the contract of
// [cdc.Subscription] says: events in order without a hole, or a wake-up or a
// lag and then a read.
type Raw struct {
	Sub  cdc.Subscription
	Pos  cdc.Cursor // everything up to it was delivered
	Lags int

	t         *Trial
	log       cdc.Log
	committed []uint64 // every committed seq above the start
}

// RawAtHead subscribes, with the position at the head.
func (t *Trial) RawAtHead(log cdc.Log) *Raw {
	r := &Raw{t: t, log: log, Sub: t.Subscribe(log)}
	b := t.Bounds(log)
	r.Pos = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
	return r
}

// Committed says that the events were committed and must not be skipped.
func (r *Raw) Committed(seqs ...uint64) { r.committed = append(r.committed, seqs...) }

// Until calls Next until the position has reached seq.
func (r *Raw) Until(seq uint64) {
	for r.Pos.Seq < seq {
		events, err := r.t.Next(r.Sub, verify.Live, "something for a committed event")
		switch {
		case err == nil && len(events) > 0:
			r.Take(events)
		case err == nil || r.Lagged(err):
			r.Read()
		}
	}
}

// Read reads to the head.
func (r *Raw) Read() {
	events := r.t.ReadAll(r.log, r.Pos, 1000)
	if n := LastSeq(events); n > 0 {
		r.Pos.Seq = max(r.Pos.Seq, n)
	}
}

// Take checks the events of one Next. Those that a read has brought already
// may come again, in order.
func (r *Raw) Take(events []cdc.Event) {
	r.t.Checked()
	for i, e := range events {
		if i > 0 && e.Seq <= events[i-1].Seq {
			r.t.Fail(verify.Unique, "Next returned %s: events must ascend, each once", EventsText(events))
		}
	}
	for _, e := range events {
		if e.Seq <= r.Pos.Seq {
			continue
		}
		for _, seq := range r.committed {
			if r.Pos.Seq < seq && seq < e.Seq {
				r.t.Fail(verify.Bounded, "Next returned %s after %d and no ErrLagged: missing %d", EventsText(events), r.Pos.Seq, seq)
			}
		}
		r.Pos.Seq = e.Seq
	}
}

// Lagged reports whether the error is a lag; any other ends the case.
func (r *Raw) Lagged(err error) bool {
	if errors.Is(err, cdc.ErrLagged) {
		r.Lags++
		return true
	}
	r.t.StoreFailed("Next", err)
	return false
}
