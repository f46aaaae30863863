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
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func containedCases() []Case {
	g := verify.Contained
	return append([]Case{
		{Guarantee: g, Situation: "EndedContext", Sentence: "Read, Bounds and Subscribe with a context that has ended return an error", run: endedContext},
		{Guarantee: g, Situation: "CancelNext", Sentence: "the end of its context ends a Next that waits", run: cancelNext},
		{Guarantee: g, Situation: "CancelStream", Sentence: "a stream whose context ends, while it waits or while it replays, ends with the context's cause, once", run: cancelStream},
		{Guarantee: g, Situation: "CloseEndsNext", Sentence: "Close of a subscription ends a Next that waits with ErrClosed, and every later one", run: closeEndsNext},
		{Guarantee: g, Situation: "CloseTwice", Sentence: "Close of a subscription, and of the log, is idempotent and returns nil the second time", run: closeTwice},
		{Guarantee: g, Situation: "CloseForgets", Sentence: "a closed subscription is not kept by the log", run: closeForgets, real: true},
		{Guarantee: g, Situation: "CloseLog", Sentence: "Close of the log ends every subscription and stream", run: closeLog},
		{Guarantee: g, Situation: "Closed", Sentence: "after Close of the log every method returns ErrClosed", run: closedLog},
		{Guarantee: g, Situation: "CloseHub", Sentence: "Close of a Hub ends its streams and everything that it started", run: closeHub},
		{Guarantee: g, Situation: "LeaveLoop", Sentence: "leaving the loop over a stream at any batch ends it: nothing is yielded after, nothing is left", run: leaveLoop},
		{Guarantee: g, Situation: "OneError", Sentence: "a stream that ends by an error yields that one, last", run: oneError},
		{Guarantee: g, Situation: "LeaveWhileRenewing", Sentence: "a stream that is left while it renews its subscription closes the new one", run: leaveWhileRenewing},
		{Guarantee: g, Situation: "Immutable", Sentence: "events that were handed out do not change, whatever comes later and whatever other readers do with theirs", run: immutable},
		{Guarantee: g, Situation: "ImmutableLive", Sentence: "events that Next returned do not change with the next call", run: immutableLive},
		{Guarantee: g, Situation: "AppendCopies", Sentence: "changing the arguments after Append has returned changes nothing in the log", run: appendCopies},
		{Guarantee: g, Situation: "Locked", Sentence: "Bounds, Read, Subscribe and Append return when their context ends though somebody else has locked the store", needs: []need{needLock}, run: locked, real: true},
	}, stickyCases()...)
}

func endedContext(t *test) {
	log := t.open()
	t.Fill(log, 3)
	epoch := t.Bounds(log).Epoch
	ctx, cancel := context.WithCancel(t.Ctx)
	cancel()
	for name, call := range map[string]func() error{
		"Read":   func() error { _, err := log.Read(ctx, cdc.Cursor{Epoch: epoch}, 10); return err },
		"Bounds": func() error { _, err := log.Bounds(ctx); return err },
		"ReadFiltered": func() error {
			_, err := cdc.ReadFiltered(ctx, log.Log, cdc.Cursor{Epoch: epoch}, 10, everyType)
			return err
		},
		"Subscribe": func() error {
			sub, err := log.Subscribe(ctx)
			if err == nil {
				_ = sub.Close()
			}
			return err
		},
	} {
		var err error
		t.InTime(verify.Contained, name+" with a context that has ended", func() { err = call() })
		t.Want(err != nil, "%s with a context that has ended returned no error: it ignores its context", name)
	}
	t.Fill(log, 1)
}

func cancelNext(t *test) {
	log := t.open()
	sub := t.Subscribe(log)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Ctx)
		waiting := make(chan struct{})
		go func() { <-waiting; cancel() }()
		t.InTime(verify.Contained, "Next whose context has ended", func() {
			close(waiting)
			for ctx.Err() == nil {
				_, _ = sub.Next(ctx)
			}
			if _, err := sub.Next(ctx); err == nil {
				t.Note(verify.Contained, "Next with a context that has ended returned no error though nothing was committed")
			}
		})
	}
	r := t.Append(log, t.Event())
	if _, err := t.Next(sub, verify.Contained, "the event that was committed after another Next was cancelled"); err != nil && !errors.Is(err, cdc.ErrLagged) {
		t.Fail(verify.Contained, "after its context ended a Next, the subscription is broken (%v): event %d is lost", err, r.Seqs[0])
	}
}

func cancelStream(t *test) {
	log := t.open()
	t.Fill(log, 9)
	cause := errors.New("the cause")
	for _, batches := range []int{0, 1, 2, 3, 100} {
		ctx, cancel := context.WithCancelCause(t.Ctx)
		if batches == 0 {
			cancel(cause)
		}
		s := t.FollowContext(ctx, fmt.Sprintf("cancelled after %d batches", batches), log, cdc.Beginning(), trial.Quiet())
		if batches > 0 {
			s.Await(verify.Live, func(p trial.Progress) bool { return p.Batches >= batches || p.Lives > 0 }, "%d batches", batches)
		}
		cancel(cause)
		if err := s.AwaitEnd(); !errors.Is(err, cause) {
			t.Fail(verify.Contained, "the stream ended with %v, want the cause of its context", err)
		}
	}
}

func closeEndsNext(t *test) {
	log := t.open()
	t.Fill(log, 1)
	sub := t.Subscribe(log)
	waiting, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(waiting)
		ended <- t.FinalError(sub)
	}()
	<-waiting
	t.CloseSubscription(sub)
	var err error
	t.InTime(verify.Contained, "Next of a subscription that was closed", func() { err = <-ended })
	t.Want(errors.Is(err, cdc.ErrClosed), "Close ended Next with %v, want ErrClosed", err)
	t.InTime(verify.Contained, "Next after Close", func() { _, err = sub.Next(t.Ctx) })
	t.Want(errors.Is(err, cdc.ErrClosed), "Next after Close returned %v, want ErrClosed", err)
	t.Fill(log, 3)
}

func closeTwice(t *test) {
	log := t.open()
	sub := t.Subscribe(log)
	t.CloseSubscription(sub)
	t.CloseSubscription(sub)
	if c, ok := log.Log.(io.Closer); ok {
		for n := range 2 {
			t.InTime(verify.Contained, "Close", func() {
				if err := c.Close(); err != nil {
					t.Note(verify.Contained, "Close of the log, call %d, returned %v", n+1, err)
				}
			})
		}
	}
}

// closeForgets watches with finalizers whether the log still holds what was
// closed. A subscription that cannot be watched so is not looked at.
func closeForgets(t *test) {
	log := t.open()
	const n = 100
	var freed atomic.Int64
	watched := 0
	for range n {
		sub, err := log.Subscribe(t.Ctx)
		if err != nil {
			t.StoreFailed("Subscribe", err)
		}
		if finalize(sub, func() { freed.Add(1) }) {
			watched++
		}
		if err := sub.Close(); err != nil {
			t.Fail(verify.Contained, "Subscription.Close returned %v", err)
		}
	}
	t.Fill(log, 1)
	t.Checked()
	if watched == 0 {
		return
	}
	t.Eventually(verify.Contained, func() bool {
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

func closeLog(t *test) {
	log := t.open()
	c, ok := log.Log.(io.Closer)
	if !ok {
		t.Skip("the log has no Close: give it one if it holds anything")
	}
	t.Fill(log, 2)
	sub := t.Subscribe(log)
	s := t.Follow("open when the log is closed", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	ended := make(chan error, 1)
	go func() { ended <- t.FinalError(sub) }()
	t.InTime(verify.Contained, "Close of the log", func() { _ = c.Close() })
	var err error
	t.InTime(verify.Contained, "Next of a log that was closed", func() { err = <-ended })
	t.Want(errors.Is(err, cdc.ErrClosed), "closing the log ended Next with %v, want ErrClosed", err)
	t.Want(errors.Is(s.AwaitEnd(), cdc.ErrClosed), "closing the log ended the stream with %v, want ErrClosed", s.Err())
}

func closedLog(t *test) {
	log := t.open()
	if _, ok := log.Log.(io.Closer); !ok {
		t.Skip("the log has no Close: give it one if it holds anything")
	}
	t.Fill(log, 2)
	after := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	t.close(log)
	calls := map[string]func() error{
		"Read":         func() error { _, err := log.Read(t.Ctx, after, 10); return err },
		"ReadFiltered": func() error { _, err := cdc.ReadFiltered(t.Ctx, log.Log, after, 10, everyType); return err },
		"Bounds":       func() error { _, err := log.Bounds(t.Ctx); return err },
		"Subscribe":    func() error { _, err := log.Subscribe(t.Ctx); return err },
	}
	if closesWith[cdc.Appender](log.Log) {
		calls["Append"] = func() error { _, err := cdc.Append(t.Ctx, log.Log, t.Event()); return err }
	}
	if closesWith[cdc.Trimmer](log.Log) {
		calls["Trim"] = func() error { _, err := cdc.Trim(t.Ctx, log.Log, 1); return err }
	}
	if closesWith[cdc.Renewer](log.Log) {
		calls["Renew"] = func() error { _, err := cdc.Renew(t.Ctx, log.Log); return err }
	}
	for name, call := range calls {
		var err error
		t.InTime(verify.Contained, name+" of a log that was closed", func() { err = call() })
		t.Want(errors.Is(err, cdc.ErrClosed), "%s of a log that was closed returned %v, want ErrClosed", name, err)
	}
}

// closesWith reports whether what has the capability, the log or what it wraps,
// has a Close.
func closesWith[T any](log any) bool {
	for {
		if _, ok := log.(T); ok {
			_, closes := log.(io.Closer)
			return closes
		}
		switch w := log.(type) {
		case interface{ Unwrap() cdc.Log }:
			log = w.Unwrap()
		case interface{ Unwrap() cdc.Source }:
			log = w.Unwrap()
		default:
			return false
		}
	}
}

func closeHub(t *test) {
	log := t.open()
	t.Fill(log, 4)
	hub := t.h.hub(log.Log)
	s := t.Follow("over the Hub", hub, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	t.Fence(log, s)
	for range 2 {
		t.InTime(verify.Contained, "Hub.Close", func() {
			if err := hub.Close(); err != nil {
				t.Note(verify.Contained, "Hub.Close returned %v", err)
			}
		})
	}
	t.Want(errors.Is(s.AwaitEnd(), cdc.ErrClosed), "closing the Hub ended the stream with %v, want ErrClosed", s.Err())
}

func leaveLoop(t *test) {
	log := t.open()
	t.Fill(log, 7)
	for leave := 1; leave < 8; leave++ {
		var n atomic.Int64
		left := make(chan struct{})
		go func() {
			defer close(left)
			defer func() {
				if r := recover(); r != nil {
					t.Note(verify.Contained, "the loop was left at batch %d and the stream went on: %v", leave, r)
				}
			}()
			t.h.follow(t.Ctx, log.Log, cdc.Beginning(), trial.Quiet())(func(cdc.Batch, error) bool {
				if n.Add(1) > int64(leave) {
					t.Note(verify.Contained, "a batch was yielded after the loop was left at batch %d", leave)
				}
				return n.Load() < int64(leave)
			})
		}()
		if leave > 6 {
			t.Eventually(verify.Live, func() bool { return n.Load() >= 6 }, "six batches")
			t.Fill(log, 2)
		}
		t.Wait(verify.Contained, left, fmt.Sprintf("a stream that was left at batch %d", leave))
		t.Want(n.Load() == int64(leave), "%d batches were yielded to a loop that was left at batch %d", n.Load(), leave)
	}
}

// oneError breaks the subscription for good: the stream has to end with an
// error, not in silence, and only once.
func oneError(t *test) {
	log := t.open()
	t.Fill(log, 3)
	gone := errors.New("the subscription is gone for good")
	s := t.Follow("without a live side", dying{log.Log, gone}, cdc.Beginning(), trial.Quiet())
	s.Await(verify.Contained, func(p trial.Progress) bool { return p.Err != nil }, "the stream ends")
	t.Want(errors.Is(s.AwaitEnd(), gone), "the stream ended with %v, want what ended its subscription", s.Err())
	_, malformed := errors.AsType[*cdc.ResetError](t.Follow("from nonsense", log, cdc.AfterText("no cursor at all"), trial.Quiet()).AwaitEnd())
	t.Want(malformed, "a start that is no cursor did not end the stream with a ResetError")
}

// dying is a log whose subscriptions end at once.
type dying struct {
	cdc.Log
	err error
}

func (d dying) Subscribe(context.Context) (cdc.Subscription, error) { return dead{d.err}, nil }

type dead struct{ err error }

func (d dead) Next(context.Context) ([]cdc.Event, error) { return nil, d.err }

func (d dead) Close() error { return nil }
