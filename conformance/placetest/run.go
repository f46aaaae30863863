package placetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Store is a place under test and the store around it, both empty.
type Store[T any] struct {
	Place  cdc.Place[T]
	Second cdc.Place[T] // another handle on the same place, as another process has it; nil: Place itself

	Log cdc.Log // with Append, Trim and Renew, of any store: memlog.New(nil) will do

	// Write adds the text to a list in the store, with the transaction.
	Write func(ctx context.Context, tx T, text string) error
	// Written returns the list.
	Written func(ctx context.Context) ([]string, error)

	// OneWriter says that the store runs one writing transaction at a time, in
	// which others wait.
	OneWriter bool

	// Term of the leases; 0 means 400 ms. It is the measure of how long a case
	// waits.
	Term time.Duration
}

// Case is one test.
type Case struct {
	Name     string // "Effective/Situation"
	Sentence string // what is done and what must come of it
}

// Result is what became of a case.
type Result struct {
	Case Case
	Err  error // nil if it passed
}

// Run runs every case as a subtest. open returns a new store for each.
func Run[T any](t *testing.T, open func() (Store[T], error)) {
	for _, c := range cases[T]() {
		t.Run(c.Name, func(t *testing.T) {
			for _, r := range Check(t.Context(), open, c.Name) {
				if r.Err != nil {
					t.Errorf("%s\n%v", r.Case.Sentence, r.Err)
				}
			}
		})
	}
}

// Check runs the cases whose names match a pattern of [path.Match], all if
// there is none, and returns what became of them.
func Check[T any](ctx context.Context, open func() (Store[T], error), patterns ...string) []Result {
	var results []Result
	for _, c := range cases[T]() {
		if !selected(c.Name, patterns) {
			continue
		}
		store, err := open()
		if err == nil {
			err = c.start(ctx, store)
		}
		results = append(results, Result{Case: c.Case, Err: err})
	}
	return results
}

func selected(name string, patterns []string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return len(patterns) == 0
}

// testCase is a case with what it does.
type testCase[T any] struct {
	Case
	run func(ctx context.Context, s *subject[T]) error
}

func cases[T any]() []testCase[T] {
	return append(append(leaseCases[T](), applyCases[T]()...), consumeCases[T]()...)
}

// limit of a case, in terms of the lease.
const limit = 100

func (c testCase[T]) start(ctx context.Context, store Store[T]) error {
	s := &subject[T]{Store: store}
	if s.Second == nil {
		s.Second = s.Place
	}
	s.Term = cmp.Or(s.Term, 400*time.Millisecond)
	ctx, cancel := context.WithTimeoutCause(ctx, limit*s.Term, errors.New("nothing more happened"))
	defer cancel()
	return c.run(ctx, s)
}

// subject is a store with what cases do to it.
type subject[T any] struct{ Store[T] }

// wantWritten compares what the handlers have written.
func (s *subject[T]) wantWritten(ctx context.Context, want ...string) error {
	got, err := s.Written(ctx)
	if err != nil {
		return fmt.Errorf("reading what was written: %w", err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("the store has %q, want %q", got, want)
	}
	return nil
}

// set applies a change that writes the texts, whatever the state is.
func (s *subject[T]) set(ctx context.Context, worker string, change cdc.Change, texts ...string) error {
	state, err := s.Place.Load(ctx, worker)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if err := s.applyAt(ctx, worker, state.Revision, change, nil, texts...); err != nil {
		return fmt.Errorf("Apply at the revision that was loaded: %w", err)
	}
	return nil
}

// applyAt runs a transaction that writes the texts and returns change and fail.
func (s *subject[T]) applyAt(ctx context.Context, worker string, revision uint64, change cdc.Change, fail error, texts ...string) error {
	return s.Place.Apply(ctx, worker, revision, func(ctx context.Context, tx T) (cdc.Change, error) {
		for _, text := range texts {
			if err := s.Write(ctx, tx, text); err != nil {
				return cdc.Change{}, err
			}
		}
		return change, fail
	})
}

// lease wants the worker's lease to be the holder's afterwards.
func lease[T any](ctx context.Context, place cdc.Place[T], holder string, term time.Duration, want string) (cdc.Lease, error) {
	got, err := place.Lease(ctx, worker, holder, term)
	switch {
	case err != nil:
		return got, fmt.Errorf("Lease for %s: %w", holder, err)
	case got.Holder != want:
		return got, fmt.Errorf("Lease for %s: the lease is of %q, want %q", holder, got.Holder, want)
	}
	return got, nil
}

const worker = "mails"
