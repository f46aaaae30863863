package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// waits reports whether an event of the key must be parked behind another.
func (c *consumer[T]) waits(key string) bool { return key != "" && firstOf(c.state.Parked, key) >= 0 }

// firstOf returns the index of the first parked event of the key, or -1.
func firstOf(parked []Parked, key string) int {
	for i, p := range parked {
		if p.Key == key {
			return i
		}
	}
	return -1
}

// due reports whether it is the turn of the i-th parked event.
func due(parked []Parked, i int, now time.Time) bool {
	p := parked[i]
	if p.Key != "" && firstOf(parked, p.Key) != i {
		return false
	}
	return p.Behind || !p.Due.IsZero() && !now.Before(p.Due)
}

// handleDue handles the parked events whose turn it is, each alone.
func (c *consumer[T]) handleDue(ctx context.Context) error {
	for i := 0; i < len(c.state.Parked); {
		if !due(c.state.Parked, i, time.Now()) {
			i++
			continue
		}
		if err := c.handleParked(ctx, c.state.Parked[i]); err != nil {
			return err
		}
		// It is gone, or no longer due: the next one is at i, or further on.
	}
	return nil
}

// handleParked tries a parked event once: afterwards it took effect, or waits
// again.
func (c *consumer[T]) handleParked(ctx context.Context, p Parked) error {
	d := &Delivery{Event: p.Event, State: c.live, Tries: p.Tries}
	err := c.prepare(ctx, d)
	if err == nil {
		err = c.apply(ctx, func(ctx context.Context, tx T) (Change, error) {
			if err := c.handler.Apply(ctx, tx, d); err != nil {
				return Change{}, &eventError{0, err}
			}
			return Change{Cursor: c.state.Cursor, Unpark: []uint64{p.Event.Seq}}, nil
		})
		if err == nil {
			return nil
		}
		_, ofHandler := errors.AsType[*eventError](err)
		if _, refused := errors.AsType[*refusedError](err); !ofHandler && !refused {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.Tries++
	c.report(fmt.Errorf("worker %q: parked event %d, try %d: %w", c.name, p.Event.Seq, p.Tries, err))
	p.Reason, p.Behind, p.Due = err.Error(), false, time.Time{}
	switch f := failure(err); {
	case f.Class == Stop:
		return &stopError{err}
	case f.Class == Later:
		p.Due = time.Now().Add(max(f.After, time.Millisecond))
	case f.Class == Again && (c.opts.MaxTries < 0 || p.Tries < c.opts.MaxTries):
		p.Due = time.Now().Add(c.pause(p.Tries))
	}
	return c.save(ctx, Change{Cursor: c.state.Cursor, Park: []Parked{p}})
}

// pause is the time before the next try of an event that failed so often.
func (c *consumer[T]) pause(tries int) time.Duration {
	pauses := backoff.Backoff{Min: 100 * time.Millisecond, Max: c.opts.MaxPause}
	for range min(tries, 20) - 1 {
		pauses.Next()
	}
	return pauses.Next()
}
