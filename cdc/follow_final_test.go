package cdc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// lastWords is a log whose first subscription ends by an error at the very
// moment at which the context of Next ends, says so once, and is silent then.
type lastWords struct {
	cdc.Log
	err       error
	ended     atomic.Bool
	subscribe atomic.Int32
}

func (l *lastWords) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	l.subscribe.Add(1)
	sub, err := l.Log.Subscribe(ctx)
	return lastWordsSubscription{sub, l}, err
}

type lastWordsSubscription struct {
	cdc.Subscription
	log *lastWords
}

func (s lastWordsSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if s.log.subscribe.Load() > 1 {
		return s.Subscription.Next(ctx)
	}
	<-ctx.Done()
	if s.log.ended.CompareAndSwap(false, true) {
		return nil, s.log.err
	}
	return nil, context.Cause(ctx)
}

func TestFollowEndsWithAFinalErrorThatComesWithTheHeartbeat(t *testing.T) {
	reset := &cdc.ResetError{Reason: cdc.ReasonDiverged}
	for name, final := range map[string]error{"closed": cdc.ErrClosed, "reset": reset} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("beat for ever"))
				defer cancel()
				var end error
				for _, err := range cdc.Follow(ctx, &lastWords{Log: newMem(t), err: final}, cdc.Latest(), &cdc.FollowOptions{Heartbeat: time.Second}) {
					end = err
				}
				_, isReset := errors.AsType[*cdc.ResetError](end)
				if !errors.Is(end, final) && !isReset {
					t.Errorf("ended with %v, want %v", end, final)
				}
			})
		})
	}
}

func TestFollowRenewsASubscriptionThatBreaksWithTheHeartbeat(t *testing.T) {
	for name, broken := range map[string]error{
		"broken":               errors.New("connection lost"),
		"a deadline of theirs": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lastWords{Log: newMem(t), err: broken}
				s := follow(t, log, cdc.Latest(), &cdc.FollowOptions{Heartbeat: time.Second})
				s.live()
				began := time.Now()
				if b := s.batch(); len(b.Events) > 0 || time.Since(began) > time.Second {
					t.Errorf("got %d events after %v, want a heartbeat", len(b.Events), time.Since(began))
				}
				s.batch() // of the next heartbeat, at the latest: it was subscribed again by then
				if n := log.subscribe.Load(); n != 2 {
					t.Errorf("subscribed %d times, want twice", n)
				}
				add(t, log.Log, 1)
				if b := s.batch(); len(b.Events) != 1 {
					t.Errorf("got %d events, want 1", len(b.Events))
				}
			})
		})
	}
}
