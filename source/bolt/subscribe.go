package boltlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// Subscribe returns a subscription that is woken by every commit of this Log,
// and by what another Log of the same name and DB commits within
// Options.PollInterval. It never carries events and never lags.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	s, err := l.subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("bolt: subscribe: %w", err)
	}
	return s, nil
}

func (l *Log) subscribe(ctx context.Context) (*subscription, error) {
	woken, err := l.wake.Subscribe(ctx) // before the bounds are read: a commit between is a wake-up
	if err != nil {
		return nil, err
	}
	b, err := l.bounds(ctx)
	if err != nil {
		return nil, errors.Join(err, woken.Close())
	}
	return &subscription{log: l, woken: woken, seen: b}, nil
}

type subscription struct {
	log   *Log
	woken cdc.Subscription
	seen  cdc.Bounds // at the last return of Next, at first at Subscribe
	err   error      // final
}

// Next returns none and nil when the head has risen. See cdc.Subscription.
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if s.err != nil {
		return nil, s.err
	}
	for {
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
		b, err := s.log.bounds(context.WithoutCancel(ctx)) // short; ctx ends wait
		switch {
		case errors.Is(err, cdc.ErrClosed):
			s.err = cdc.ErrClosed
			return nil, s.err
		case err != nil:
			s.err = fmt.Errorf("bolt: next: %w", err)
			return nil, s.err
		case b.Epoch != s.seen.Epoch:
			s.err = s.reset(b)
			return nil, s.err
		case b.Head != s.seen.Head:
			s.seen = b
			return nil, nil
		}
	}
}

// wait returns nil when there may be something new: at a wake-up, or when it
// is time to look.
func (s *subscription) wait(ctx context.Context) error {
	if s.log.options.PollInterval < 0 {
		_, err := s.woken.Next(ctx)
		return err
	}
	look, cancel := context.WithTimeoutCause(ctx, s.log.options.PollInterval, errLook)
	defer cancel()
	_, err := s.woken.Next(look)
	if errors.Is(err, errLook) {
		return nil
	}
	return err
}

// errLook ends a wait in order to look into the file.
var errLook = errors.New("time to look")

// reset: the position of the reader is not known here, only where it could be.
func (s *subscription) reset(b cdc.Bounds) *cdc.ResetError {
	return &cdc.ResetError{
		Reason:    cdc.ReasonEpochChanged,
		Requested: cdc.Cursor{Epoch: s.seen.Epoch, Seq: s.seen.Head}.String(),
		Floor:     b.Floor, Head: b.Head,
		Resume: cdc.Cursor{Epoch: b.Epoch, Seq: b.Head},
	}
}

// Close ends a Next that is running with cdc.ErrClosed.
func (s *subscription) Close() error { return s.woken.Close() }
