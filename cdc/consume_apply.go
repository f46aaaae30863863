package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// apply runs fn in a transaction of the place and keeps the state in step. If
// it fails, and others have changed the state or the outcome is not known, the
// error is errReload; if the store has refused what fn wrote it is a refusedError.
func (c *consumer[T]) apply(ctx context.Context, fn func(ctx context.Context, tx T) (Change, error)) error {
	var change Change
	err := c.place.Apply(ctx, c.name, c.state.Revision, func(ctx context.Context, tx T) (Change, error) {
		var err error
		change, err = fn(ctx, tx)
		return change, err
	})
	if err == nil {
		c.state = c.state.Next(change)
		return nil
	}
	_, ofHandler := errors.AsType[*eventError](err)
	switch {
	case errors.Is(err, ErrFenced):
		return errReload
	case !ofHandler && failure(err).Class == Stop:
		return &stopError{err}
	case !ofHandler && isFailure(err):
		return &refusedError{err}
	}
	state, loadErr := c.place.Load(ctx, c.name)
	if loadErr == nil && state.Revision != c.state.Revision {
		return errReload
	}
	return errors.Join(err, loadErr)
}

// save stores a change that no handler has a part in.
func (c *consumer[T]) save(ctx context.Context, change Change) error {
	return c.apply(ctx, func(context.Context, T) (Change, error) { return change, nil })
}

// handleAll handles the events that lead to c.position. Those of a batch that the
// store has refused are handled one by one.
func (c *consumer[T]) handleAll(ctx context.Context, all []*Delivery) error {
	for alone := 0; len(all) > 0; alone-- {
		n := min(len(all), c.opts.BatchSize)
		if alone > 0 {
			n = 1
		}
		err := c.handleBatch(ctx, all[:n], n == len(all))
		if _, refused := errors.AsType[*refusedError](err); refused && n > 1 {
			c.report(fmt.Errorf("worker %q: events %d to %d: %w", c.name, all[0].Event.Seq, all[n-1].Event.Seq, err))
			alone = n + 1
			continue
		}
		failed, ofHandler := errors.AsType[*eventError](err)
		for ofHandler && failed.index > 0 { // those before it first, and then it alone
			n = failed.index
			if err = c.handleBatch(ctx, all[:n], false); err == nil {
				all, failed.index = all[n:], 0
				break
			}
			failed, ofHandler = errors.AsType[*eventError](err) // now on one before
		}
		if ofHandler {
			n = 1
			err = c.handleFailed(ctx, all[0], failed.err, len(all) == 1)
		}
		if err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// cursorAfter is where the worker stands after the event; last: it is the last
// of what was read, so that what the filter left out behind it is done, too.
func (c *consumer[T]) cursorAfter(e Event, last bool) Cursor {
	if last {
		return c.position
	}
	return e.Cursor(c.position.Epoch)
}

// handleBatch handles the events in one transaction, and parks those that must
// wait behind another. An eventError says at which the handler failed.
func (c *consumer[T]) handleBatch(ctx context.Context, events []*Delivery, last bool) error {
	waiting := make([]bool, len(events))
	parked := 0
	for i, d := range events {
		if waiting[i] = c.waits(c.opts.Key(d.Event)); waiting[i] {
			parked++
			continue
		}
		if err := c.prepare(ctx, d); err != nil {
			return &eventError{i, err}
		}
	}
	if len(c.state.Parked)+parked > c.opts.MaxParked {
		return &stopError{&ParkedError{Worker: c.name, Max: c.opts.MaxParked}}
	}
	err := c.apply(ctx, func(ctx context.Context, tx T) (Change, error) {
		change := Change{Cursor: c.cursorAfter(events[len(events)-1].Event, last)}
		for i, d := range events {
			if waiting[i] {
				change.Park = append(change.Park, Parked{Key: c.opts.Key(d.Event), Event: d.Event, Behind: true})
				continue
			}
			if err := c.handler.Apply(ctx, tx, d); err != nil {
				return Change{}, &eventError{i, err}
			}
		}
		return change, nil
	})
	if _, refused := errors.AsType[*refusedError](err); refused && len(events) == 1 && parked == 0 {
		return &eventError{0, err}
	}
	return err
}

// prepare runs the first part of the handler, unless it has succeeded before.
func (c *consumer[T]) prepare(ctx context.Context, d *Delivery) error {
	if c.handler.Prepare == nil || d.prepared {
		return nil
	}
	err := c.handler.Prepare(ctx, d)
	d.prepared = err == nil
	return err
}

// handleFailed decides what becomes of an event on which the handler failed
// with err, and returns when it took effect or is parked.
func (c *consumer[T]) handleFailed(ctx context.Context, d *Delivery, err error, last bool) error {
	pauses := backoff.Backoff{Min: 100 * time.Millisecond, Max: c.opts.MaxPause}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.Tries++
		c.report(fmt.Errorf("worker %q: event %d, try %d: %w", c.name, d.Event.Seq, d.Tries, err))
		entry := Parked{Key: c.opts.Key(d.Event), Event: d.Event, Reason: err.Error(), Tries: d.Tries}
		f := failure(err)
		switch {
		case f.Class == Stop:
			return &stopError{err}
		case f.Class == Later:
			entry.Due = time.Now().Add(f.After)
			return c.park(ctx, entry, err, last)
		case f.Class == Park || c.opts.MaxTries > 0 && d.Tries >= c.opts.MaxTries:
			return c.park(ctx, entry, err, last)
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
		next := c.handleBatch(ctx, []*Delivery{d}, last)
		failed, ofHandler := errors.AsType[*eventError](next)
		if !ofHandler {
			return next
		}
		err = failed.err
	}
}

func (c *consumer[T]) park(ctx context.Context, entry Parked, err error, last bool) error {
	if len(c.state.Parked) >= c.opts.MaxParked {
		return &stopError{&ParkedError{Worker: c.name, Max: c.opts.MaxParked, Err: err}}
	}
	return c.save(ctx, Change{Cursor: c.cursorAfter(entry.Event, last), Park: []Parked{entry}})
}
