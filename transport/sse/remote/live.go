package remote

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// subscription is a stream that is opened again whenever it breaks.
type subscription struct {
	log    *Log
	cancel context.CancelFunc

	mu     sync.Mutex
	events []cdc.Event
	lagged bool          // something was dropped since the last Next
	err    error         // final
	ready  chan struct{} // has a value when there is something for Next
}

// Subscribe implements [cdc.Subscriber]: it returns after the hello of a
// stream that begins at the latest event.
//
//nolint:contextcheck // ctx bounds the call, not the subscription
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if l.ctx.Err() != nil {
		return nil, cdc.ErrClosed
	}
	first, err := l.open(ctx, url.Values{wire.AfterParam: {cdc.Latest().String()}})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("remote: subscribe: %w", err)
	}
	s := &subscription{log: l, ready: make(chan struct{}, 1)}
	subCtx, cancel := context.WithCancel(l.ctx)
	s.cancel = cancel
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		cancel()
		first.close()
		return nil, cdc.ErrClosed
	}
	l.group.Go(func() { s.run(subCtx, first) })
	return s, nil
}

// run receives until the subscription is closed or cannot go on.
func (s *subscription) run(ctx context.Context, first *stream) {
	defer s.cancel()
	at := first.at
	tries := retryAfter(max(first.retry, 10*time.Millisecond))
	for current := first; ; {
		var err error
		if current == nil {
			current, err = s.log.open(ctx, url.Values{wire.LastEventIDParam: {at.String()}})
		}
		if current != nil {
			err = s.receive(ctx, current, at.Epoch)
			if current.at != at {
				tries.Reset()
			}
			at = current.at
			current.close()
			current = nil
		}
		if s.endsWith(ctx, err) {
			return
		}
		tries.wait(ctx, err)
	}
}

// endsWith reports whether the error ends the subscription. The application is
// told of the others.
func (s *subscription) endsWith(ctx context.Context, err error) bool {
	reset, isReset := errors.AsType[*cdc.ResetError](err)
	switch {
	case ctx.Err() != nil:
		s.end(cdc.ErrClosed)
	case isRefusal(err):
		s.end(fmt.Errorf("remote: subscription: %w", err))
	case isReset:
		s.end(reset)
	default:
		s.log.opts.OnError(fmt.Errorf("remote: subscription: %w", err))
		return false
	}
	return true
}

// receive hands over what the stream brings until it breaks.
func (s *subscription) receive(ctx context.Context, from *stream, epoch string) error {
	stop := context.AfterFunc(ctx, from.cancel)
	defer stop()
	for {
		f, err := from.next()
		if err != nil {
			return err
		}
		switch f.name {
		case "":
			e, err := from.event(f)
			if err != nil {
				return err
			}
			s.push(e)
		case wire.Reset:
			if from.at.Epoch != epoch {
				return from.reset(f)
			}
			s.lag() // Read returns what the stream skips, if it is still there
		case wire.Reconnect:
			return &reconnectError{f.retry}
		}
	}
}

func (s *subscription) push(e cdc.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lagged: // until Next has returned ErrLagged
	case len(s.events) == s.log.opts.Buffer:
		s.events, s.lagged = nil, true
	default:
		s.events = append(s.events, e)
	}
	s.signal()
}

func (s *subscription) lag() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.lagged = nil, true
	s.signal()
}

func (s *subscription) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.signal()
}

// signal wakes Next; s.mu is held.
func (s *subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next implements [cdc.Subscription].
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	for {
		if events, err, ok := s.take(ctx); ok {
			return events, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// take returns the next result of Next; ok is false if there is none yet.
func (s *subscription) take(ctx context.Context) (events []cdc.Event, err error, ok bool) { //nolint:revive // ok is of both
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil && errors.Is(s.err, cdc.ErrClosed):
		return nil, s.err, true
	case ctx.Err() != nil:
		return nil, context.Cause(ctx), true
	case s.lagged:
		s.lagged = false
		return nil, cdc.ErrLagged, true
	case len(s.events) > 0:
		events, s.events = s.events, nil
		return events, nil, true
	case s.err != nil:
		return nil, s.err, true
	}
	return nil, nil, false
}

// Close implements [cdc.Subscription].
func (s *subscription) Close() error {
	s.cancel()
	s.end(cdc.ErrClosed)
	return nil
}
