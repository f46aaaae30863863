package cdc

import (
	"context"
	"sync"
)

// Notifier is a [Subscriber] for a source whose commits are seen by this
// process: call [Notifier.Notify] after each commit has become readable. It
// carries no events and so never lags; any number of notifications that
// nobody has taken yet are one. The zero value is ready to use. All methods
// may be called concurrently, and none of them blocks.
type Notifier struct {
	mu         sync.Mutex
	generation uint64 // number of notifications
	closed     bool
	changed    chan struct{} // closed at the next change; nil while nobody waits
}

// Notify wakes every subscription: the source has grown.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.generation++
	n.wake()
}

// Close ends every subscription, present and future, with [ErrClosed].
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.wake()
}

func (n *Notifier) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// wake must be called with mu held.
func (n *Notifier) wake() {
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// Subscribe returns a subscription that is woken by every later Notify.
func (n *Notifier) Subscribe(ctx context.Context) (Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	return &notifierSubscription{notifier: n, seen: n.generation, closed: make(chan struct{})}, nil
}

type notifierSubscription struct {
	notifier *Notifier
	seen     uint64 // generation at the last return of Next

	once   sync.Once
	closed chan struct{}
}

// state reports whether Next has to return, and what; otherwise the channel to
// wait on. What has ended wins over what is new, and a subscription that has
// ended over a context that has: its error is final.
func (s *notifierSubscription) state(ctx context.Context) (done bool, changed <-chan struct{}, err error) {
	n := s.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-s.closed:
		return true, nil, ErrClosed
	default:
	}
	switch {
	case n.closed:
		return true, nil, ErrClosed
	case ctx.Err() != nil:
		return true, nil, context.Cause(ctx)
	case s.seen != n.generation:
		s.seen = n.generation
		return true, nil, nil
	case n.changed == nil:
		n.changed = make(chan struct{})
	}
	return false, n.changed, nil
}

func (s *notifierSubscription) Next(ctx context.Context) ([]Event, error) {
	for {
		done, changed, err := s.state(ctx)
		if done {
			return nil, err
		}
		select {
		case <-s.closed:
		case <-ctx.Done():
		case <-changed:
		}
	}
}

func (s *notifierSubscription) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
