package bank_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// gate is a place of which no call is under way while its lock is held.
type gate[T any] struct {
	cdc.Place[T]

	open *sync.RWMutex
}

func (p gate[T]) Lease(ctx context.Context, name, holder string, term time.Duration) (cdc.Lease, error) {
	p.open.RLock()
	defer p.open.RUnlock()
	return p.Place.Lease(ctx, name, holder, term)
}

func (p gate[T]) Load(ctx context.Context, name string) (cdc.WorkerState, error) {
	p.open.RLock()
	defer p.open.RUnlock()
	return p.Place.Load(ctx, name)
}

func (p gate[T]) Apply(ctx context.Context, name string, revision uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	p.open.RLock()
	defer p.open.RUnlock()
	return p.Place.Apply(ctx, name, revision, fn)
}

// unfenced is a place without fencing: it takes any revision for the present
// one, and who has had the lease is told to have it still, also while the gate
// is closed.
type unfenced[T any] struct {
	gate[T]

	mu  sync.Mutex
	had cdc.Lease
}

func (p *unfenced[T]) Lease(ctx context.Context, name, holder string, term time.Duration) (cdc.Lease, error) {
	p.mu.Lock()
	had := p.had
	p.mu.Unlock()
	if !p.open.TryRLock() {
		if had.Holder == holder {
			return had, nil
		}
		p.open.RLock()
	}
	l, err := p.Place.Lease(ctx, name, holder, term)
	p.open.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil && l.Holder == holder:
		p.had = l // it may have got it again
	case err == nil && p.had.Holder == holder:
		return p.had, nil
	}
	return l, err
}

func (p *unfenced[T]) Apply(ctx context.Context, name string, _ uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	for {
		state, err := p.Load(ctx, name)
		if err != nil {
			return err
		}
		if err = p.gate.Apply(ctx, name, state.Revision, fn); !errors.Is(err, cdc.ErrFenced) {
			return err
		}
	}
}

func (p *unfenced[T]) Load(ctx context.Context, name string) (cdc.WorkerState, error) {
	state, err := p.gate.Load(ctx, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	state.Generation = p.had.Generation
	return state, err
}

// how an instance works.
type how struct {
	fenced bool
	gate   *sync.RWMutex
	opts   *cdc.ConsumeOptions
}

// behind is the place of an instance.
func behind[T any](place cdc.Place[T], h how) cdc.Place[T] {
	g := gate[T]{place, h.gate}
	if !h.fenced {
		return &unfenced[T]{gate: g}
	}
	return g
}

// prepare is a call elsewhere.
func prepare(context.Context, *cdc.Delivery) error {
	time.Sleep(500 * time.Microsecond)
	return nil
}
