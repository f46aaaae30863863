package conformance

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// stickyCases hold a subscription to its final error.
func stickyCases() []Case {
	g := verify.Contained
	return []Case{
		{Guarantee: g, Situation: "Sticky/closed", Sentence: "after Close of a subscription every Next returns ErrClosed, whatever was not taken yet and whatever is committed then", run: stickyClosed},
		{Guarantee: g, Situation: "Sticky/renewed", Sentence: "the reset that ends a subscription when the log gets another epoch comes again at every later Next", run: stickyRenewed},
		{Guarantee: g, Situation: "Sticky/severed", Sentence: "an error by which a subscription ends when its connection is cut comes again at every later Next, though the log is back", needs: []need{needSever}, run: stickySevered},
		{Guarantee: g, Situation: "Sticky/logClosed", Sentence: "after Close of the log every Next of its subscriptions returns ErrClosed", run: stickyLogClosed},
		{Guarantee: g, Situation: "FinalAtHeartbeat", Sentence: "a subscription that ends just as a heartbeat falls due ends its stream", run: finalAtHeartbeat},
	}
}

func stickyClosed(t *test) {
	log := t.open()
	sub := t.Subscribe(log)
	t.Fill(log, 3)
	t.CloseSubscription(sub)
	t.sticky(sub, cdc.ErrClosed, func() { t.Fill(log, 1) })
}

// stickyRenewed lets the subscription bring something first: one that was just
// made may learn the epoch only then, as that of a Hub does.
func stickyRenewed(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	sub := r.Sub
	r.Until(t.Fill(log, 2)[1])
	t.renew(log)
	final := t.finalError(sub, "the epoch changed")
	t.isReset(final, log, "a new epoch under a subscription", cdc.ReasonEpochChanged)
	t.sticky(sub, final, func() { t.Fill(log, 1) })
	t.CloseSubscription(sub)
	_ = t.finalError(sub, "it was closed")
}

// stickySevered cuts and commits until the subscription has noticed the cut. One that
// finds its way back has no final error.
func stickySevered(t *test) {
	log := t.open()
	t.Fill(log, 1)
	sub := t.Subscribe(log)
	cut := 0
	for range 3 {
		cut += t.sever(log)
		t.Fill(log, 1)
		_, err := t.Next(sub, verify.Live, "something for an event that was committed after the cut: events, a wake-up, or an error that makes the reader subscribe again")
		if err != nil && !errors.Is(err, cdc.ErrLagged) {
			t.sticky(sub, err, func() { t.Fill(log, 1) })
			return
		}
	}
	if cut == 0 {
		t.DidNothing("Sever", "it cut no connection")
	}
}

func stickyLogClosed(t *test) {
	log := t.open()
	if _, ok := log.Log.(io.Closer); !ok {
		t.Skip("the log has no Close: give it one if it holds anything")
	}
	sub, behind := t.Subscribe(log), t.Subscribe(log)
	t.Fill(log, 2)
	if _, err := t.Next(sub, verify.Live, "something for a committed event"); err != nil {
		t.StoreFailed("Next", err)
	}
	t.close(log)
	for _, s := range []cdc.Subscription{sub, behind} {
		final := t.finalError(s, "the log was closed")
		t.Want(errors.Is(final, cdc.ErrClosed), "closing the log ended Next with %v, want ErrClosed", final)
		t.sticky(s, final, func() {})
	}
}

// finalError takes what comes before the error by which the subscription ends.
func (t *test) finalError(sub cdc.Subscription, why string) error {
	const most = 1_000
	for range most {
		_, err := t.Next(sub, verify.Contained, "an error: "+why)
		if err != nil && !errors.Is(err, cdc.ErrLagged) {
			return err
		}
	}
	t.Fail(verify.Contained, "Next returned no error, %d times: %s", most, why)
	return nil
}

// sticky calls Next again and again after it has returned its final error:
// with nothing that could wake it, and then with something between the calls.
func (t *test) sticky(sub cdc.Subscription, final error, between func()) {
	for n := range 4 {
		if n >= 2 {
			between()
		}
		events, err := t.Next(sub, verify.Contained, "its final error again")
		t.Want(sameFinal(err, final), "call %d of Next after its final error (%v) returned %s: it has to return that error again", n+1, final, trial.NextText(events, err))
	}
	ctx, cancel := context.WithCancel(t.Ctx)
	cancel()
	events, err := sub.Next(ctx)
	t.Want(err != nil && len(events) == 0, "Next after its final error, with a context that has ended, returned %s", trial.NextText(events, err))
}

// sameFinal reports whether err is the final error again. It may be made anew.
func sameFinal(err, final error) bool {
	if err == nil || errors.Is(err, cdc.ErrLagged) {
		return false
	}
	want, isReset := errors.AsType[*cdc.ResetError](final)
	got, again := errors.AsType[*cdc.ResetError](err)
	switch {
	case errors.Is(final, cdc.ErrClosed):
		return errors.Is(err, cdc.ErrClosed)
	case isReset:
		return again && got.Reason == want.Reason
	}
	return err.Error() == final.Error()
}

func finalAtHeartbeat(t *test) {
	log := t.open()
	t.Fill(log, 2)
	b := t.Bounds(log)
	for _, final := range []error{cdc.ErrClosed, b.Reset(cdc.ReasonDiverged, "")} {
		ending := endsLate{log.Log, final}
		s := t.Follow("whose subscription ends at a heartbeat", ending, cdc.Latest(), &cdc.FollowOptions{Heartbeat: 2 * time.Millisecond})
		err := s.AwaitEnd()
		t.Want(sameFinal(err, final), "the subscription ended with %v as a heartbeat fell due, and the stream with %v", final, err)
	}
}

// endsLate is a log whose subscriptions end as soon as the context of a Next
// does: a final error and a heartbeat are due at once.
type endsLate struct {
	cdc.Log
	err error
}

func (l endsLate) Subscribe(context.Context) (cdc.Subscription, error) {
	return lateEnd{l.err}, nil
}

type lateEnd struct{ err error }

func (s lateEnd) Next(ctx context.Context) ([]cdc.Event, error) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second): // for a stream whose heartbeats are no deadline
	}
	return nil, s.err
}

func (s lateEnd) Close() error { return nil }
