package gaplesswatermill

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
)

// Subscriber delivers the events of a log as messages. For each group and topic
// there is a worker in the place, group/topic, whose position moves with the
// acks. All methods may be called concurrently.
type Subscriber[T any] struct {
	log   cdc.Log
	place cdc.Place[T]
	opts  SubscriberOptions

	open    context.Context // until Close
	end     context.CancelFunc
	running sync.WaitGroup

	mu sync.Mutex // orders Subscribe and Close
}

var (
	_ message.Subscriber           = (*Subscriber[struct{}])(nil)
	_ message.SubscribeInitializer = (*Subscriber[struct{}])(nil)
)

// NewSubscriber returns a subscriber to the log that keeps its positions in the
// place, of whatever store. Both stay the caller's.
func NewSubscriber[T any](log cdc.Log, place cdc.Place[T], opts *SubscriberOptions) (*Subscriber[T], error) {
	o, err := opts.resolved()
	if err != nil {
		return nil, err
	}
	s := &Subscriber[T]{log: log, place: place, opts: o}
	s.open, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Subscribe implements [message.Subscriber]. Of all subscriptions of the group to
// the topic, in all processes, one gets messages; the others wait.
func (s *Subscriber[T]) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.initialize(ctx, topic); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open.Err() != nil {
		return nil, ErrClosed
	}
	out := make(chan *message.Message)
	s.running.Go(func() { s.run(ctx, topic, out) })
	return out, nil
}

// SubscribeInitialize makes the group begin here, as Subscribe does, if it has no
// position yet.
func (s *Subscriber[T]) SubscribeInitialize(topic string) error {
	return s.initialize(context.Background(), topic)
}

// initialize stores the start of a worker that has none.
func (s *Subscriber[T]) initialize(ctx context.Context, topic string) error {
	name := s.worker(topic)
	err := cdc.CheckWorker(name)
	for err == nil {
		var state cdc.WorkerState
		if state, err = s.place.Load(ctx, name); err != nil || state.Cursor != (cdc.Cursor{}) {
			break
		}
		var b cdc.Bounds
		if b, err = s.log.Bounds(ctx); err != nil {
			break
		}
		change := cdc.Change{Cursor: b.Resolve(s.opts.Start), Paused: state.Paused}
		err = s.place.Apply(ctx, name, state.Revision, func(context.Context, T) (cdc.Change, error) { return change, nil })
		if errors.Is(err, cdc.ErrFenced) { // another was faster
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("watermill: subscribe to %q: %w", topic, err)
	}
	return nil
}

// Close ends all subscriptions, and returns when what was acked is stored.
func (s *Subscriber[T]) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Subscriber[T]) worker(topic string) string { return s.opts.Group + "/" + topic }

// run delivers messages until ctx ends, Close, or what ends the worker.
func (s *Subscriber[T]) run(ctx context.Context, topic string, out chan<- *message.Message) {
	defer close(out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.open, cancel)() //nolint:contextcheck // Close ends it, too
	handler := cdc.Handler[T]{
		Prepare: func(ctx context.Context, d *cdc.Delivery) error { return deliver(ctx, d.Event, out) },
		Apply:   func(context.Context, T, *cdc.Delivery) error { return nil }, // the position moves
	}
	if s.opts.Reset != nil {
		handler.Reset = func(_ context.Context, _ T, reset *cdc.ResetError) (cdc.Start, error) { return s.opts.Reset(reset) }
	}
	err := cdc.Consume(ctx, s.log, s.worker(topic), finishing[T]{s.place, s.opts.Term}, handler, s.opts.consume(topic))
	if ctx.Err() == nil {
		s.opts.OnError(fmt.Errorf("watermill: the subscription to %q has ended: %w", topic, err))
	}
}
