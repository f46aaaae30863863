package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// work handles events until ctx ends or something stops the worker. What fails
// otherwise begins again with what is stored, after pauses that grow until
// something has been stored.
func (c *consumer[T]) work(ctx context.Context) error {
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: c.opts.MaxPause}
	for {
		before := c.state.Revision
		err := c.load(ctx)
		if err == nil {
			err = c.session(ctx)
		}
		progress := c.state.Revision != before
		if progress {
			retry.Reset()
		}
		_, ofHandler := errors.AsType[*eventError](err)
		reset, ok := errors.AsType[*ResetError](err)
		if ok && !ofHandler {
			c.report(fmt.Errorf("worker %q: %w", c.name, err))
			err = c.reset(ctx, reset)
		}
		stopped, final := errors.AsType[*stopError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final:
			return stopped.err
		case permanent(err):
			return err
		case err != nil && !errors.Is(err, errReload):
			c.report(fmt.Errorf("worker %q: %w", c.name, err))
		case progress && !ok:
			continue
		}
		if err := retry.Wait(ctx); err != nil {
			return err
		}
	}
}

// stopError ends Consume with err.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// load reads the state, and stores the start of a worker that has none: what
// is appended from then on is for it, whatever happens.
func (c *consumer[T]) load(ctx context.Context) error {
	state, err := c.place.Load(ctx, c.name)
	if err != nil {
		return err
	}
	if state.Generation != c.lease.Generation {
		return c.lost(ctx)
	}
	c.state = state
	if c.state.Cursor == (Cursor{}) {
		b, err := c.log.Bounds(ctx)
		if err != nil {
			return err
		}
		if err := c.save(ctx, Change{Cursor: b.Resolve(c.opts.Start), Paused: c.state.Paused}); err != nil {
			return err
		}
	}
	c.position = c.state.Cursor
	return nil
}

// lost waits for the end of ctx, which comes with the next renewal: another
// instance has the lease.
func (c *consumer[T]) lost(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// step is what the stream of a session yields.
type step struct {
	batch Batch
	err   error
}

// session follows the log from the stored cursor. It ends with an error.
func (c *consumer[T]) session(ctx context.Context) error {
	if c.state.Paused {
		return c.paused(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	steps := make(chan step)
	var following sync.WaitGroup
	following.Go(func() { c.follow(ctx, steps) })
	defer following.Wait()
	defer stop()
	return c.handle(ctx, steps)
}

// follow reads ahead by one batch.
func (c *consumer[T]) follow(ctx context.Context, steps chan<- step) {
	opts := &FollowOptions{Filter: c.opts.Filter, PageSize: c.opts.BatchSize}
	for batch, err := range Follow(ctx, c.log, After(c.state.Cursor), opts) {
		select {
		case steps <- step{batch, err}:
		case <-ctx.Done():
			return
		}
	}
}

// handle takes the batches of a session, and looks after the parked events and
// for changes from outside in between.
func (c *consumer[T]) handle(ctx context.Context, steps <-chan step) error {
	ticker := time.NewTicker(c.opts.Term / 4)
	defer ticker.Stop()
	var pending []*Delivery
	full := time.NewTimer(time.Hour)
	defer full.Stop()
	full.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
			if err := c.tick(ctx, len(pending) == 0); err != nil {
				return err
			}
		case <-full.C:
			due = true
		case s := <-steps:
			if s.err != nil {
				return s.err
			}
			if len(pending) == 0 && len(s.batch.Events) > 0 && c.opts.BatchWait > 0 {
				full.Reset(c.opts.BatchWait)
			}
			c.position, c.live = s.batch.Cursor, s.batch.State
			for _, e := range s.batch.Events {
				pending = append(pending, &Delivery{Event: e, State: s.batch.State})
			}
		}
		if len(pending) == 0 || !due && c.opts.BatchWait > 0 && len(pending) < c.opts.BatchSize {
			continue
		}
		full.Stop()
		if err := c.handleAll(ctx, pending); err != nil {
			return err
		}
		pending = nil
	}
}

// tick does what does not come with an event.
func (c *consumer[T]) tick(ctx context.Context, idle bool) error {
	if c.seen.Load() > c.state.Revision {
		return errReload
	}
	if err := c.handleDue(ctx); err != nil {
		return err
	}
	if idle && c.position != c.state.Cursor { // the filter left out what is between
		return c.save(ctx, Change{Cursor: c.position})
	}
	return nil
}

// paused waits until somebody changes the state.
func (c *consumer[T]) paused(ctx context.Context) error {
	for c.seen.Load() <= c.state.Revision {
		if err := backoff.Sleep(ctx, c.opts.Term/4); err != nil {
			return err
		}
	}
	return errReload
}

// reset lets the handler decide, and moves the cursor with what it writes.
func (c *consumer[T]) reset(ctx context.Context, reset *ResetError) error {
	if c.handler.Reset == nil {
		return &stopError{reset}
	}
	b, err := c.log.Bounds(ctx)
	if err != nil {
		return err
	}
	err = c.apply(ctx, func(ctx context.Context, tx T) (Change, error) {
		start, err := c.handler.Reset(ctx, tx, reset)
		if err != nil {
			return Change{}, &stopError{err}
		}
		change := Change{Cursor: b.Resolve(start), Paused: c.state.Paused}
		for _, p := range c.state.Parked {
			change.Unpark = append(change.Unpark, p.Event.Seq)
		}
		return change, nil
	})
	if _, refused := errors.AsType[*refusedError](err); refused {
		return &stopError{err}
	}
	return err
}
