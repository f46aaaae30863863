package placetest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func leaseCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Case{"Effective/OneHolder", "While one instance has the lease no other gets it, and is told who has it."}, oneHolder[T]},
		{Case{"Effective/Expires", "A lease that was not renewed is given to another, with the next generation and revision."}, expires[T]},
		{Case{"Effective/Renewed", "A lease that is renewed stays, with its generation and revision."}, renewed[T]},
		{Case{"Effective/GivenUp", "A lease that its holder gives up is free at once; nobody else can give it up."}, givenUp[T]},
		{Case{"Effective/RenewedInTransaction", "A lease can be renewed while a transaction of the worker is open."}, renewedInTransaction[T]},
	}
}

func oneHolder[T any](ctx context.Context, s *subject[T]) error {
	first, err := lease(ctx, s.Place, "A", 50*s.Term, "A")
	if err != nil {
		return err
	}
	second, err := lease(ctx, s.Second, "B", s.Term, "A")
	if err != nil {
		return err
	}
	if second.Generation != first.Generation || second.Remaining <= 0 || second.Remaining > 50*s.Term {
		return fmt.Errorf("instance B is told %+v, want generation %d and what remains of A's term", second, first.Generation)
	}
	return nil
}

func expires[T any](ctx context.Context, s *subject[T]) error {
	first, err := lease(ctx, s.Place, "A", s.Term, "A")
	if err != nil {
		return err
	}
	if first.Revision == 0 || first.Generation == 0 || first.Remaining <= 0 {
		return fmt.Errorf("the first lease is %+v, want a generation, a revision and a term", first)
	}
	if err := pause(ctx, 2*s.Term); err != nil {
		return err
	}
	second, err := lease(ctx, s.Second, "B", 50*s.Term, "B")
	if err != nil {
		return err
	}
	if second.Generation != first.Generation+1 || second.Revision <= first.Revision {
		return fmt.Errorf("after %+v the next lease is %+v, want the next generation and a higher revision", first, second)
	}
	state, err := s.Place.Load(ctx, worker)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if state.Generation != second.Generation || state.Revision != second.Revision {
		return fmt.Errorf("the state has generation %d and revision %d, the lease %d and %d", state.Generation, state.Revision, second.Generation, second.Revision)
	}
	_, err = lease(ctx, s.Place, "A", s.Term, "B")
	return err
}

func renewed[T any](ctx context.Context, s *subject[T]) error {
	first, err := lease(ctx, s.Place, "A", s.Term, "A")
	if err != nil {
		return err
	}
	for _, term := range []time.Duration{s.Term, s.Term, s.Term, 50 * s.Term} { // the last outlasts the check
		if err := pause(ctx, s.Term/2); err != nil {
			return err
		}
		again, err := lease(ctx, s.Place, "A", term, "A")
		if err != nil {
			return err
		}
		if again.Generation != first.Generation || again.Revision != first.Revision {
			return fmt.Errorf("renewed, %+v became %+v", first, again)
		}
	}
	_, err = lease(ctx, s.Second, "B", s.Term, "A")
	return err
}

func givenUp[T any](ctx context.Context, s *subject[T]) error {
	first, err := lease(ctx, s.Place, "A", 50*s.Term, "A")
	if err != nil {
		return err
	}
	if _, err := lease(ctx, s.Second, "B", 0, "A"); err != nil {
		return err
	}
	if _, err := lease(ctx, s.Second, "B", s.Term, "A"); err != nil {
		return fmt.Errorf("after B gave up what A has: %w", err)
	}
	free, err := lease(ctx, s.Place, "A", 0, "A")
	if err != nil {
		return err
	}
	if free.Remaining > 0 {
		return fmt.Errorf("a lease that was given up has %v left", free.Remaining)
	}
	second, err := lease(ctx, s.Second, "B", 50*s.Term, "B")
	if err != nil {
		return fmt.Errorf("after A gave it up: %w", err)
	}
	if second.Generation != first.Generation+1 {
		return fmt.Errorf("generation %d follows %d", second.Generation, first.Generation)
	}
	_, err = lease(ctx, s.Place, "A", s.Term, "B")
	return err
}

func renewedInTransaction[T any](ctx context.Context, s *subject[T]) error {
	if s.OneWriter {
		return nil
	}
	state, err := lease(ctx, s.Place, "A", 20*s.Term, "A")
	if err != nil {
		return err
	}
	return s.Place.Apply(ctx, worker, state.Revision, func(inside context.Context, tx T) (c change, err error) {
		if err := s.Write(inside, tx, "x"); err != nil {
			return c, err
		}
		limited, cancel := context.WithTimeout(ctx, 5*s.Term)
		defer cancel()
		_, err = lease(limited, s.Second, "A", 20*s.Term, "A")
		return c, err
	})
}

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// eventually waits until ok is true.
func eventually(ctx context.Context, step time.Duration, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		if waitErr := pause(ctx, step); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}
