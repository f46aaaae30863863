package placetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// errInterposed is what a call fails with that the case lets fail.
var errInterposed = errors.New("the connection to the store was lost (made by the test)")

// interposed is a place in which something happens before or after the calls
// of one instance.
type interposed[T any] struct {
	cdc.Place[T]

	// before is asked before the n-th call, from 1 on, and after behind it; an
	// error is the result of the call, which is not made if it is from before.
	// Either may be nil.
	before, after func(n int, method string) error

	mu sync.Mutex
	n  int
}

// call makes one call with what is interposed.
func (p *interposed[T]) call(method string, f func() error) error {
	p.mu.Lock()
	p.n++
	n := p.n
	p.mu.Unlock()
	if p.before != nil {
		if err := p.before(n, method); err != nil {
			return err
		}
	}
	err := f()
	if p.after != nil {
		if interposedErr := p.after(n, method); interposedErr != nil {
			return interposedErr
		}
	}
	return err
}

// calls returns how many were made.
func (p *interposed[T]) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *interposed[T]) Lease(ctx context.Context, name, holder string, term time.Duration) (l cdc.Lease, err error) {
	err = p.call("Lease", func() (err error) { l, err = p.Place.Lease(ctx, name, holder, term); return err })
	return l, err
}

func (p *interposed[T]) Load(ctx context.Context, name string) (s cdc.WorkerState, err error) {
	err = p.call("Load", func() (err error) { s, err = p.Place.Load(ctx, name); return err })
	return s, err
}

func (p *interposed[T]) Apply(ctx context.Context, name string, revision uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	return p.call("Apply", func() error { return p.Place.Apply(ctx, name, revision, fn) })
}
