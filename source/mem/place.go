package memlog

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Place keeps workers in memory: for tests, and for handlers that write to the
// memory of this process, which is rebuilt at every start. Make one for all
// instances.
type Place struct {
	mu      sync.Mutex
	workers map[string]*worker
}

type worker struct {
	state   cdc.WorkerState
	lease   cdc.Lease
	expires time.Time
}

var _ cdc.Place[*PlaceTx] = (*Place)(nil)

// NewPlace returns an empty place.
func NewPlace() *Place { return &Place{workers: map[string]*worker{}} }

// PlaceTx is the transaction that a handler is given.
type PlaceTx struct{ commit []func() }

// OnCommit has f run when the cursor moves, after those that were given before,
// and not at all if it does not. No other handler of the place commits meanwhile;
// f must not use the place.
func (tx *PlaceTx) OnCommit(f func()) { tx.commit = append(tx.commit, f) }

// named returns the worker, which is made if it is missing; p.mu is held.
func (p *Place) named(name string) *worker {
	w := p.workers[name]
	if w == nil {
		w = &worker{}
		p.workers[name] = w
	}
	return w
}

// Lease implements [cdc.Place].
func (p *Place) Lease(ctx context.Context, name, holder string, term time.Duration) (cdc.Lease, error) {
	if ctx.Err() != nil {
		return cdc.Lease{}, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w, at := p.named(name), time.Now()
	switch {
	case w.lease.Holder == holder && term <= 0:
		w.expires = time.Time{}
	case w.lease.Holder == holder && !w.expires.IsZero():
		w.expires = at.Add(term)
	case term > 0 && !w.expires.After(at):
		w.lease.Holder = holder
		w.lease.Generation++
		w.state.Generation = w.lease.Generation
		w.state.Revision++
		w.expires = at.Add(term)
	}
	return w.leaseAt(at), nil
}

func (w *worker) leaseAt(at time.Time) cdc.Lease {
	lease := w.lease
	lease.Revision, lease.Remaining = w.state.Revision, max(0, w.expires.Sub(at))
	return lease
}

// Load implements [cdc.Place].
func (p *Place) Load(ctx context.Context, name string) (cdc.WorkerState, error) {
	if ctx.Err() != nil {
		return cdc.WorkerState{}, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workers[name]; w != nil {
		state := w.state
		state.Parked = slices.Clone(state.Parked)
		return state, nil
	}
	return cdc.WorkerState{}, nil
}

// Apply implements [cdc.Place].
func (p *Place) Apply(ctx context.Context, name string, revision uint64, fn func(ctx context.Context, tx *PlaceTx) (cdc.Change, error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tx := &PlaceTx{}
	change, err := fn(ctx, tx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workers[name]
	if w == nil && revision > 0 || w != nil && w.state.Revision != revision {
		return cdc.ErrFenced
	}
	w = p.named(name)
	w.state = w.state.Next(change)
	for _, f := range tx.commit {
		f()
	}
	return nil
}

// Workers implements [cdc.Place].
func (p *Place) Workers(ctx context.Context) ([]cdc.Worker, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []cdc.Worker
	for _, name := range slices.Sorted(maps.Keys(p.workers)) {
		w := p.workers[name]
		list = append(list, cdc.Worker{
			Name: name, Cursor: w.state.Cursor, Paused: w.state.Paused, Parked: len(w.state.Parked), Lease: w.leaseAt(time.Now()),
		})
	}
	return list, nil
}
