package conformance

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// leaveWhileRenewing leaves the loop at a heartbeat while Subscribe is under
// way for the second time.
func leaveWhileRenewing(t *test) {
	log := t.open()
	t.Fill(log, 1)
	slow := &slowRenewal{Log: log.Log, entered: make(chan struct{}), release: make(chan struct{})}
	left := make(chan struct{})
	go func() {
		defer close(left)
		renewing := false
		t.h.follow(t.Ctx, slow, cdc.Latest(), &cdc.FollowOptions{Heartbeat: 1e6})(func(cdc.Batch, error) bool {
			select {
			case <-slow.entered:
				if !renewing {
					renewing = true
					close(slow.release)
				}
				return false
			default:
				return true
			}
		})
	}()
	t.Wait(verify.Contained, left, "a stream that was left while it renewed its subscription")
	t.Eventually(verify.Contained, func() bool { return slow.open.Load() == 0 }, "every subscription of a stream that was left is closed")
}

// slowRenewal is a log whose first subscription ends at once, and whose second
// Subscribe takes until it is released.
type slowRenewal struct {
	cdc.Log
	calls            atomic.Int64
	open             atomic.Int64
	entered, release chan struct{}
}

func (l *slowRenewal) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	n := l.calls.Add(1)
	if n == 2 {
		close(l.entered)
		<-l.release
		ctx = context.WithoutCancel(ctx) // it is just being granted
	}
	sub, err := l.Log.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedSubscription{Subscription: sub, log: l, broken: n == 1}, nil
}

type countedSubscription struct {
	cdc.Subscription
	log    *slowRenewal
	broken bool
	closed atomic.Bool
}

func (s *countedSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if s.broken {
		return nil, errors.New("the connection was lost")
	}
	return s.Subscription.Next(ctx)
}

func (s *countedSubscription) Close() error {
	if !s.closed.Swap(true) {
		s.log.open.Add(-1)
	}
	return s.Subscription.Close()
}
