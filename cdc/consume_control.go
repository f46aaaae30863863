package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// change replaces the state of a worker from outside.
func change[T any](ctx context.Context, place Place[T], worker string, next func(WorkerState) (Change, error)) error {
	if err := CheckWorker(worker); err != nil {
		return err
	}
	pauses := backoff.Backoff{Min: time.Millisecond, Max: 50 * time.Millisecond}
	for {
		state, err := place.Load(ctx, worker)
		if err != nil {
			return err
		}
		c, err := next(state)
		if err != nil {
			return err
		}
		err = place.Apply(ctx, worker, state.Revision, func(context.Context, T) (Change, error) { return c, nil })
		if !errors.Is(err, ErrFenced) {
			return err
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// Seek makes a worker go on after the cursor, forward or back, whether it runs
// or not. Parked events above the cursor come again, and are not parked any
// more. A running instance follows at once if it is at work, otherwise within
// half of its term.
func Seek[T any](ctx context.Context, place Place[T], worker string, to Cursor) error {
	return change(ctx, place, worker, func(s WorkerState) (Change, error) {
		c := Change{Cursor: to, Paused: s.Paused}
		for _, p := range s.Parked {
			if p.Event.Seq > to.Seq || to.Epoch != s.Cursor.Epoch {
				c.Unpark = append(c.Unpark, p.Event.Seq)
			}
		}
		return c, nil
	})
}

// SetPaused keeps a worker from handling events, or lets it go on. Its active
// instance keeps the lease. When SetPaused returns, nothing more can be
// committed; an event may still be prepared.
func SetPaused[T any](ctx context.Context, place Place[T], worker string, paused bool) error {
	return change(ctx, place, worker, func(s WorkerState) (Change, error) {
		return Change{Cursor: s.Cursor, Paused: paused}, nil
	})
}

// RetryParked makes a parked event due. Those behind it follow in order once
// it took effect. One that waits behind another waits on. It is an error if no
// event with the seq is parked.
func RetryParked[T any](ctx context.Context, place Place[T], worker string, seq uint64) error {
	return change(ctx, place, worker, func(s WorkerState) (Change, error) {
		p, err := s.parked(worker, seq)
		p.Due, p.Tries = time.Now(), 0
		return Change{Cursor: s.Cursor, Paused: s.Paused, Park: []Parked{p}}, err
	})
}

// DropParked forgets a parked event: it never takes effect. Those behind it
// follow in order. It is an error if no event with the seq is parked.
func DropParked[T any](ctx context.Context, place Place[T], worker string, seq uint64) error {
	return change(ctx, place, worker, func(s WorkerState) (Change, error) {
		_, err := s.parked(worker, seq)
		return Change{Cursor: s.Cursor, Paused: s.Paused, Unpark: []uint64{seq}}, err
	})
}

func (s WorkerState) parked(worker string, seq uint64) (Parked, error) {
	i := slices.IndexFunc(s.Parked, func(p Parked) bool { return p.Event.Seq == seq })
	if i < 0 {
		return Parked{}, fmt.Errorf("cdc: worker %q has no parked event %d", worker, seq)
	}
	return s.Parked[i], nil
}
