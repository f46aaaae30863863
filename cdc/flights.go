package cdc

import (
	"context"
	"sync"
)

// tasks are the goroutines that a Hub has started.
type tasks struct {
	ctx    context.Context // ended by stop
	cancel context.CancelCauseFunc

	mu    sync.Mutex // so that none starts when stop has returned
	group sync.WaitGroup
}

func newTasks() *tasks {
	t := &tasks{}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

// start runs f in a goroutine, unless the tasks were stopped.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped() {
		return false
	}
	t.group.Go(f)
	return true
}

// stop ends the context of the tasks, of which the first reason stays. It does
// not wait for them.
func (t *tasks) stop(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel(why)
}

func (t *tasks) stopped() bool { return t.ctx.Err() != nil }

// why is the reason for which the tasks were stopped.
func (t *tasks) why() error { return context.Cause(t.ctx) }

// flight is a call whose result is shared.
type flight[V any] struct {
	done  chan struct{} // closed when value and err are set
	value V
	err   error
}

func newFlight[V any]() *flight[V] { return &flight[V]{done: make(chan struct{})} }

func (f *flight[V]) land(value V, err error) {
	f.value, f.err = value, err
	close(f.done)
}

func (f *flight[V]) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait returns the result, or an error when ctx ends or the tasks are stopped.
func (f *flight[V]) wait(ctx context.Context, t *tasks) (V, error) {
	var none V
	select {
	case <-f.done:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-t.ctx.Done(): // perhaps no goroutine could be started for it
	}
	if t.stopped() {
		return none, t.why()
	}
	return f.value, f.err
}

// flights shares calls between those who ask for the same key at the same
// time: whoever asks while a call is under way gets the result of the next one,
// which begins after it asked.
type flights[K comparable, V any] struct {
	tasks *tasks

	mu   sync.Mutex
	next map[K]*flight[V] // for each key with a call under way: the one after it, nil if nobody has asked for it
}

func newFlights[K comparable, V any](t *tasks) *flights[K, V] {
	return &flights[K, V]{tasks: t, next: map[K]*flight[V]{}}
}

func (s *flights[K, V]) do(ctx context.Context, key K, call func(context.Context) (V, error)) (V, error) {
	if ctx.Err() != nil {
		var none V
		return none, context.Cause(ctx)
	}
	return s.join(key, call).wait(ctx, s.tasks)
}

// join returns the flight for the key that has not begun yet, and lets it
// begin as soon as none is under way.
func (s *flights[K, V]) join(key K, call func(context.Context) (V, error)) *flight[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, underWay := s.next[key]
	if f != nil {
		return f
	}
	f = newFlight[V]()
	switch {
	case underWay:
		s.next[key] = f
	case s.tasks.start(func() { s.run(key, f, call) }):
		s.next[key] = nil
	}
	return f
}

// run makes one call after the other as long as somebody has asked for it.
func (s *flights[K, V]) run(key K, f *flight[V], call func(context.Context) (V, error)) {
	for f != nil {
		value, err := call(s.tasks.ctx)
		s.mu.Lock()
		next := s.next[key]
		if next == nil {
			delete(s.next, key)
		} else {
			s.next[key] = nil
		}
		s.mu.Unlock()
		f.land(value, err)
		f = next
	}
}
