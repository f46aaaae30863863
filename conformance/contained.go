package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func containedCases() []Case {
	g := verify.Contained
	return []Case{
		{Guarantee: g, Situation: "EndedContext", Sentence: "Read, Bounds and Subscribe with a context that has ended return an error", run: endedContext},
		{Guarantee: g, Situation: "CancelNext", Sentence: "the end of its context ends a Next that waits", run: cancelNext},
		{Guarantee: g, Situation: "CancelStream", Sentence: "a stream whose context ends, while it waits or while it replays, ends with the context's cause, once", run: cancelStream},
		{Guarantee: g, Situation: "CloseEndsNext", Sentence: "Close of a subscription ends a Next that waits with ErrClosed, and every later one", run: closeEndsNext},
		{Guarantee: g, Situation: "CloseTwice", Sentence: "Close of a subscription, and of the log, is idempotent and returns nil the second time", run: closeTwice},
		{Guarantee: g, Situation: "CloseForgets", Sentence: "a closed subscription is not kept by the log", run: closeForgets, real: true},
		{Guarantee: g, Situation: "CloseLog", Sentence: "Close of the log ends every subscription and stream", run: closeLog},
		{Guarantee: g, Situation: "CloseHub", Sentence: "Close of a Hub ends its streams and everything that it started", run: closeHub},
		{Guarantee: g, Situation: "LeaveLoop", Sentence: "leaving the loop over a stream at any batch ends it: nothing is yielded after, nothing is left", run: leaveLoop},
		{Guarantee: g, Situation: "OneError", Sentence: "a stream that ends by an error yields that one, last", run: oneError},
		{Guarantee: g, Situation: "LeaveWhileRenewing", Sentence: "a stream that is left while it renews its subscription closes the new one", run: leaveWhileRenewing},
		{Guarantee: g, Situation: "Immutable", Sentence: "events that were handed out do not change, whatever comes later and whatever other readers do with theirs", run: immutable},
		{Guarantee: g, Situation: "ImmutableLive", Sentence: "events that Next returned do not change with the next call", run: immutableLive},
		{Guarantee: g, Situation: "AppendCopies", Sentence: "changing the arguments after Append has returned changes nothing in the log", run: appendCopies},
	}
}

func endedContext(t *trial) {
	log := t.open()
	t.fill(log, 3)
	epoch := t.bounds(log).Epoch
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	for name, call := range map[string]func() error{
		"Read":   func() error { _, err := log.Read(ctx, cdc.Cursor{Epoch: epoch}, 10); return err },
		"Bounds": func() error { _, err := log.Bounds(ctx); return err },
		"Subscribe": func() error {
			sub, err := log.Subscribe(ctx)
			if err == nil {
				_ = sub.Close()
			}
			return err
		},
	} {
		var err error
		t.finite(verify.Contained, name+" with a context that has ended", func() { err = call() })
		t.want(err != nil, "%s with a context that has ended returned no error: it ignores its context", name)
	}
	t.fill(log, 1)
}

func cancelNext(t *trial) {
	log := t.open()
	sub := t.subscribe(log)
	for range 3 {
		ctx, cancel := context.WithCancel(t.ctx)
		waiting := make(chan struct{})
		go func() { <-waiting; cancel() }()
		t.finite(verify.Contained, "Next whose context has ended", func() {
			close(waiting)
			for ctx.Err() == nil {
				_, _ = sub.Next(ctx)
			}
			if _, err := sub.Next(ctx); err == nil {
				t.note(verify.Contained, "Next with a context that has ended returned no error though nothing was committed")
			}
		})
	}
	r := t.append(log, t.event())
	if _, err := t.returns(sub, verify.Contained, "the event that was committed after another Next was cancelled"); err != nil && !errors.Is(err, cdc.ErrLagged) {
		t.fail(verify.Contained, "after its context ended a Next, the subscription is broken (%v): event %d is lost", err, r.Seqs[0])
	}
}

func cancelStream(t *trial) {
	log := t.open()
	t.fill(log, 9)
	cause := errors.New("the cause")
	for _, batches := range []int{0, 1, 2, 3, 100} {
		ctx, cancel := context.WithCancelCause(t.ctx)
		if batches == 0 {
			cancel(cause)
		}
		s := t.followContext(ctx, fmt.Sprintf("cancelled after %d batches", batches), log, cdc.Beginning, quiet())
		if batches > 0 {
			s.await(verify.Live, func() bool { return s.batches >= batches || s.lives > 0 }, "%d batches", batches)
		}
		cancel(cause)
		if err := s.ends(); !errors.Is(err, cause) {
			t.fail(verify.Contained, "the stream ended with %v, want the cause of its context", err)
		}
	}
}

func closeEndsNext(t *trial) {
	log := t.open()
	t.fill(log, 1)
	sub := t.subscribe(log)
	waiting, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(waiting)
		ended <- t.endOf(sub)
	}()
	<-waiting
	t.closeSub(sub)
	var err error
	t.finite(verify.Contained, "Next of a subscription that was closed", func() { err = <-ended })
	t.want(errors.Is(err, cdc.ErrClosed), "Close ended Next with %v, want ErrClosed", err)
	t.finite(verify.Contained, "Next after Close", func() { _, err = sub.Next(t.ctx) })
	t.want(errors.Is(err, cdc.ErrClosed), "Next after Close returned %v, want ErrClosed", err)
	t.fill(log, 3)
}

// endOf calls Next until it returns an error, and returns that.
func (t *trial) endOf(sub cdc.Subscription) error {
	const most = 10_000
	for range most {
		if _, err := sub.Next(t.ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("nothing, %d times", most)
}

func closeTwice(t *trial) {
	log := t.open()
	sub := t.subscribe(log)
	t.closeSub(sub)
	t.closeSub(sub)
	if c, ok := log.Log.(io.Closer); ok {
		for n := range 2 {
			t.finite(verify.Contained, "Close", func() {
				if err := c.Close(); err != nil {
					t.note(verify.Contained, "Close of the log, call %d, returned %v", n+1, err)
				}
			})
		}
	}
}

// closeForgets watches with finalizers whether the log still holds what was
// closed. A subscription that cannot be watched so is not looked at.
func closeForgets(t *trial) {
	log := t.open()
	const n = 100
	var freed atomic.Int64
	watched := 0
	for range n {
		sub, err := log.Subscribe(t.ctx)
		if err != nil {
			t.broken("Subscribe", err)
		}
		if finalize(sub, func() { freed.Add(1) }) {
			watched++
		}
		if err := sub.Close(); err != nil {
			t.fail(verify.Contained, "Subscription.Close returned %v", err)
		}
	}
	t.fill(log, 1)
	t.looked()
	if watched == 0 {
		return
	}
	t.soon(verify.Contained, func() bool {
		runtime.GC()
		return freed.Load() >= int64(watched-watched/10)
	}, "of %d closed subscriptions the log lets go", watched)
}

// finalize reports whether sub can be watched.
func finalize(sub cdc.Subscription, f func()) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	runtime.SetFinalizer(sub, func(any) { f() })
	return true
}

func closeLog(t *trial) {
	log := t.open()
	c, ok := log.Log.(io.Closer)
	if !ok {
		t.skipped("the log has no Close: give it one if it holds anything")
	}
	t.fill(log, 2)
	sub := t.subscribe(log)
	s := t.follow("open when the log is closed", log, cdc.Beginning, quiet())
	s.live()
	ended := make(chan error, 1)
	go func() { ended <- t.endOf(sub) }()
	t.finite(verify.Contained, "Close of the log", func() { _ = c.Close() })
	var err error
	t.finite(verify.Contained, "Next of a log that was closed", func() { err = <-ended })
	t.want(errors.Is(err, cdc.ErrClosed), "closing the log ended Next with %v, want ErrClosed", err)
	t.want(errors.Is(s.ends(), cdc.ErrClosed), "closing the log ended the stream with %v, want ErrClosed", s.err)
}

func closeHub(t *trial) {
	log := t.open()
	t.fill(log, 4)
	hub := t.h.hub(log.Log)
	s := t.follow("over the Hub", hub, cdc.Beginning, quiet())
	s.live()
	t.fence(log, s)
	for range 2 {
		t.finite(verify.Contained, "Hub.Close", func() {
			if err := hub.Close(); err != nil {
				t.note(verify.Contained, "Hub.Close returned %v", err)
			}
		})
	}
	t.want(errors.Is(s.ends(), cdc.ErrClosed), "closing the Hub ended the stream with %v, want ErrClosed", s.err)
}

func leaveLoop(t *trial) {
	log := t.open()
	t.fill(log, 7)
	for leave := 1; leave < 8; leave++ {
		var n atomic.Int64
		left := make(chan struct{})
		go func() {
			defer close(left)
			defer func() {
				if r := recover(); r != nil {
					t.note(verify.Contained, "the loop was left at batch %d and the stream went on: %v", leave, r)
				}
			}()
			t.h.follow(t.ctx, log.Log, cdc.Beginning, quiet())(func(cdc.Batch, error) bool {
				if n.Add(1) > int64(leave) {
					t.note(verify.Contained, "a batch was yielded after the loop was left at batch %d", leave)
				}
				return n.Load() < int64(leave)
			})
		}()
		if leave > 6 {
			t.soon(verify.Live, func() bool { return n.Load() >= 6 }, "six batches")
			t.fill(log, 2)
		}
		t.wait(verify.Contained, left, fmt.Sprintf("a stream that was left at batch %d", leave))
		t.want(n.Load() == int64(leave), "%d batches were yielded to a loop that was left at batch %d", n.Load(), leave)
	}
}

// oneError breaks the subscription for good: the stream has to end with an
// error, not in silence, and only once.
func oneError(t *trial) {
	log := t.open()
	t.fill(log, 3)
	gone := errors.New("the subscription is gone for good")
	s := t.follow("without a live side", dying{log.Log, gone}, cdc.Beginning, quiet())
	s.await(verify.Contained, func() bool { return s.err != nil }, "the stream ends")
	t.want(errors.Is(s.ends(), gone), "the stream ended with %v, want what ended its subscription", s.err)
	_, malformed := errors.AsType[*cdc.ResetError](t.follow("from nonsense", log, "no cursor at all", quiet()).ends())
	t.want(malformed, "a start that is no cursor did not end the stream with a ResetError")
}

// dying is a log whose subscriptions end at once.
type dying struct {
	cdc.Log
	err error
}

func (d dying) Subscribe(context.Context) (cdc.Subscription, error) { return dead{d.err}, nil }

type dead struct{ err error }

func (d dead) Next(context.Context) ([]cdc.Event, error) { return nil, d.err }
func (d dead) Close() error                              { return nil }
