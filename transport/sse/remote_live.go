package sse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// remoteSubscription is a stream that is opened again whenever it breaks.
type remoteSubscription struct {
	remote *Remote
	cancel context.CancelFunc

	mu     sync.Mutex
	events []cdc.Event
	lagged bool  // something was dropped since the last Next
	err    error // final
	ready  chan struct{}
}

// Subscribe implements [cdc.Subscriber]: it returns after the hello of a
// stream that begins at the latest event.
//
//nolint:contextcheck // ctx bounds the call, not the subscription
func (r *Remote) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if r.ctx.Err() != nil {
		return nil, cdc.ErrClosed
	}
	stream, err := r.open(ctx, cdc.Latest, "")
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("sse: remote: subscribe: %w", err)
	}
	s := &remoteSubscription{remote: r, ready: make(chan struct{}, 1)}
	subCtx, cancel := context.WithCancel(r.ctx)
	s.cancel = cancel
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel()
		stream.close()
		return nil, cdc.ErrClosed
	}
	r.group.Go(func() { s.run(subCtx, stream) })
	return s, nil
}

// run receives until the subscription is closed or cannot go on.
func (s *remoteSubscription) run(ctx context.Context, stream *remoteStream) {
	defer s.cancel()
	at := stream.at
	delay := max(stream.retry, 10*time.Millisecond)
	var err error
	for failures := 0; ; failures++ {
		if stream == nil {
			stream, err = s.remote.open(ctx, cdc.Latest, at.String())
		}
		if stream != nil {
			err = s.receive(ctx, stream, at.Epoch)
			if stream.at != at {
				failures = 0
			}
			at = stream.at
			stream.close()
			stream = nil
		}
		if s.ends(ctx, err) {
			return
		}
		if retry, ok := errors.AsType[*retryError](err); ok && retry.after > 0 {
			delay, failures = retry.after, 0
		}
		wait(ctx, min(30*time.Second, delay<<min(failures, 5)))
	}
}

// ends reports whether the error ends the subscription; the others are told.
func (s *remoteSubscription) ends(ctx context.Context, err error) bool {
	status, isStatus := errors.AsType[*StatusError](err)
	reset, isReset := errors.AsType[*cdc.ResetError](err)
	switch {
	case ctx.Err() != nil:
		s.end(cdc.ErrClosed)
	case isStatus && status.final():
		s.end(fmt.Errorf("sse: remote: subscription: %w", err))
	case isReset:
		s.end(reset)
	default:
		if s.remote.opts.OnError != nil {
			s.remote.opts.OnError(fmt.Errorf("sse: remote: subscription: %w", err))
		}
		return false
	}
	return true
}

// receive hands over what the stream brings until it breaks.
func (s *remoteSubscription) receive(ctx context.Context, stream *remoteStream, epoch string) error {
	stop := context.AfterFunc(ctx, stream.cancel)
	defer stop()
	for {
		f, err := stream.next()
		if err != nil {
			return err
		}
		switch f.name {
		case "":
			e, err := stream.event(f)
			if err != nil {
				return err
			}
			s.push(e)
		case nameReset:
			if stream.at.Epoch != epoch {
				return stream.reset(f)
			}
			s.lag() // what was skipped is read, as far as it is there
		case nameReconnect:
			return &retryError{f.retry}
		}
	}
}

func (s *remoteSubscription) push(e cdc.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lagged: // until Next has told it
	case len(s.events) == s.remote.opts.Buffer:
		s.events, s.lagged = nil, true
	default:
		s.events = append(s.events, e)
	}
	s.signal()
}

func (s *remoteSubscription) lag() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.lagged = nil, true
	s.signal()
}

func (s *remoteSubscription) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.signal()
}

// signal wakes Next; s.mu is held.
func (s *remoteSubscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next implements [cdc.Subscription].
func (s *remoteSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
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

func (s *remoteSubscription) take(ctx context.Context) (events []cdc.Event, err error, ok bool) { //nolint:revive // ok is of both
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
func (s *remoteSubscription) Close() error {
	s.cancel()
	s.end(cdc.ErrClosed)
	return nil
}
