package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// consumer is one call of [Consume]. The goroutine of that call owns it, except
// for seen, which the goroutine that renews the lease writes.
type consumer[T any] struct {
	log     Log
	name    string
	place   Place[T]
	handler Handler[T]
	opts    ConsumeOptions
	holder  string

	lease Lease
	seen  atomic.Uint64 // revision at the last renewal

	state    WorkerState // as stored, as far as this instance knows
	position Cursor      // of the stream: at or above state.Cursor
	live     State
}

// report tells OnError.
func (c *consumer[T]) report(err error) {
	if c.opts.OnError != nil {
		c.opts.OnError(fmt.Errorf("cdc: consume: %w", err))
	}
}

// acquire waits until this instance has the lease.
func (c *consumer[T]) acquire(ctx context.Context) error {
	for {
		lease, err := c.place.Lease(ctx, c.name, c.holder, c.opts.Term)
		switch {
		case err == nil && lease.Holder == c.holder:
			c.lease = lease
			if c.opts.OnActive != nil {
				c.opts.OnActive(lease)
			}
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case permanent(err):
			return err
		case err != nil:
			c.report(fmt.Errorf("take the lease of worker %q: %w", c.name, err))
		}
		if err := backoff.Sleep(ctx, c.opts.Term/4); err != nil {
			return err
		}
	}
}

// hold works while this instance has the lease, and gives it up.
func (c *consumer[T]) hold(ctx context.Context) error {
	work, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { c.renew(work, stop) })
	err := c.work(work)
	stop(nil)
	renewing.Wait()
	if ctx.Err() == nil && errors.Is(context.Cause(work), errLeaseLost) {
		return errLeaseLost
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Term)
	defer cancel()
	if _, releaseErr := c.place.Lease(last, c.name, c.holder, 0); releaseErr != nil {
		c.report(fmt.Errorf("give up the lease of worker %q: %w", c.name, releaseErr))
	}
	return err
}

// renew prolongs the lease until ctx ends, and ends it when the lease is lost.
func (c *consumer[T]) renew(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(c.opts.Term / 2)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		limited, cancel := context.WithTimeout(ctx, c.opts.Term)
		lease, err := c.place.Lease(limited, c.name, c.holder, c.opts.Term)
		cancel()
		switch {
		case err == nil && (lease.Holder != c.holder || lease.Generation != c.lease.Generation):
			stop(errLeaseLost)
			return
		case err == nil:
			renewed = asked
			c.seen.Store(lease.Revision)
		case ctx.Err() == nil:
			c.report(fmt.Errorf("renew the lease of worker %q: %w", c.name, err))
		}
		if time.Since(renewed) >= c.opts.Term {
			stop(errLeaseLost)
			return
		}
	}
}
