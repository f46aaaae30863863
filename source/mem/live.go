package memlog

import (
	"context"

	"github.com/gapless-go/gapless/cdc"
)

// Subscribe implements [cdc.Subscriber]. The subscription returns the events
// themselves, up to Options.Buffer of them, and lags when more are waiting.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	s := &subscription{log: l, ready: make(chan struct{}, 1)}
	l.subs[s] = struct{}{}
	return s, nil
}

// subscription is guarded by the log's mutex.
type subscription struct {
	log    *Log
	buffer []cdc.Event
	grown  bool  // the head moved over a hole
	lagged bool  // something was dropped since the last Next
	err    error // final
	ready  chan struct{}
}

// publish hands over what became stable; the log's mutex is held.
func (s *subscription) publish(events []cdc.Event) {
	switch {
	case s.err != nil || s.lagged:
	case len(s.buffer)+len(events) > s.log.buffer:
		s.buffer, s.lagged = nil, true
	default:
		s.buffer = append(s.buffer, events...)
		s.grown = s.grown || len(events) == 0
	}
	s.signal()
}

// fail ends the subscription; the log's mutex is held.
func (s *subscription) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	delete(s.log.subs, s)
	s.signal()
}

func (s *subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next implements [cdc.Subscription].
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	for {
		if events, ok, err := s.take(ctx); ok {
			return events, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

func (s *subscription) take(ctx context.Context) (events []cdc.Event, ok bool, err error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, true, s.err
	case ctx.Err() != nil:
		return nil, true, context.Cause(ctx)
	case s.lagged:
		s.lagged = false
		return nil, true, cdc.ErrLagged
	case len(s.buffer) > 0 || s.grown:
		events, s.buffer, s.grown = s.buffer, nil, false
		return events, true, nil
	}
	return nil, false, nil
}

// Close implements [cdc.Subscription].
func (s *subscription) Close() error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.fail(cdc.ErrClosed)
	return nil
}
