package placetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

type change = cdc.Change

func applyCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Case{"Effective/Committed", "After Apply both what the handler wrote and the new state are there."}, committed[T]},
		{Case{"Effective/RolledBack", "After an error of the handler neither is there, and Apply returns that error."}, rolledBack[T]},
		{Case{"Effective/Fenced", "An Apply at another revision is ErrFenced and writes nothing."}, fenced[T]},
		{Case{"Effective/Raced", "Of two Applies at one revision one commits."}, raced[T]},
		{Case{"Effective/Zombie", "An instance that another followed commits nothing."}, zombie[T]},
		{Case{"Effective/Parked", "Parked events come back as they were, by seq, until they are removed."}, parkedKept[T]},
		{Case{"Effective/Apart", "Workers share nothing, whatever their names, and are all listed."}, apart[T]},
	}
}

func cursor(seq uint64) cdc.Cursor { return cdc.Cursor{Epoch: "e", Seq: seq, Tag: "Tag-_tagtag"} }

func committed[T any](ctx context.Context, s *subject[T]) error {
	if state, err := s.Second.Load(ctx, worker); err != nil || !reflect.DeepEqual(state, cdc.WorkerState{}) {
		return fmt.Errorf("Load of a worker that never was: %+v, %w", state, err)
	}
	for i, c := range []change{{Cursor: cursor(1)}, {Cursor: cursor(1 << 62), Paused: true}, {Cursor: cursor(3)}} {
		if err := s.set(ctx, worker, c, fmt.Sprint(i)); err != nil {
			return err
		}
		state, err := s.Second.Load(ctx, worker)
		if err != nil {
			return err
		}
		if state.Cursor != c.Cursor || state.Paused != c.Paused || state.Revision != uint64(i+1) {
			return fmt.Errorf("the state is %+v, want %+v at revision %d", state, c, i+1)
		}
	}
	return s.wantWritten(ctx, "0", "1", "2")
}

func rolledBack[T any](ctx context.Context, s *subject[T]) error {
	if err := s.set(ctx, worker, change{Cursor: cursor(1)}, "a"); err != nil {
		return err
	}
	fail := errors.New("the handler failed")
	next := change{Cursor: cursor(2), Paused: true, Park: []cdc.Parked{{Event: cdc.Event{Seq: 2}}}}
	if err := s.applyAt(ctx, worker, 1, next, fail, "b", "c"); !errors.Is(err, fail) {
		return fmt.Errorf("Apply returned %v, want the error of fn", err) //nolint:errorlint // it may be any
	}
	return s.unchanged(ctx, cursor(1), "a")
}

// unchanged wants revision 1 with nothing parked.
func (s *subject[T]) unchanged(ctx context.Context, at cdc.Cursor, texts ...string) error {
	state, err := s.Second.Load(ctx, worker)
	if err != nil {
		return err
	}
	if state.Revision != 1 || state.Cursor != at || state.Paused || len(state.Parked) > 0 {
		return fmt.Errorf("the state is %+v, want that of revision 1, at %v", state, at)
	}
	return s.wantWritten(ctx, texts...)
}

func fenced[T any](ctx context.Context, s *subject[T]) error {
	next := change{Cursor: cursor(2), Park: []cdc.Parked{{Event: cdc.Event{Seq: 2}}}}
	if err := s.applyAt(ctx, worker, 1, next, nil, "early"); !errors.Is(err, cdc.ErrFenced) {
		return fmt.Errorf("Apply at a revision that is not yet returned %v, want ErrFenced", err) //nolint:errorlint // it may be any
	}
	if err := s.set(ctx, worker, change{Cursor: cursor(1)}, "a"); err != nil {
		return err
	}
	for _, revision := range []uint64{0, 2, 1 << 40} {
		if err := s.applyAt(ctx, worker, revision, next, nil, "b"); !errors.Is(err, cdc.ErrFenced) {
			return fmt.Errorf("Apply at revision %d, where it is 1, returned %v, want ErrFenced", revision, err) //nolint:errorlint // it may be any
		}
	}
	return s.unchanged(ctx, cursor(1), "a")
}

func raced[T any](ctx context.Context, s *subject[T]) error {
	if err := s.set(ctx, worker, change{Cursor: cursor(1)}); err != nil {
		return err
	}
	var both, running sync.WaitGroup
	both.Add(2)
	errs := make([]error, 2)
	for i, place := range []cdc.Place[T]{s.Place, s.Second} {
		running.Go(func() {
			errs[i] = place.Apply(ctx, worker, 1, func(ctx context.Context, tx T) (c change, err error) {
				both.Done()
				if !s.OneWriter {
					both.Wait()
				}
				return change{Cursor: cursor(uint64(i + 2))}, s.Write(ctx, tx, fmt.Sprint(i))
			})
		})
	}
	running.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		return fmt.Errorf("two Applies at one revision returned %q, want one to be fenced", errs)
	}
	won := slices.Index(errs, nil)
	state, err := s.Place.Load(ctx, worker)
	if err != nil {
		return err
	}
	if state.Revision != 2 || state.Cursor != cursor(uint64(won+2)) {
		return fmt.Errorf("Apply %d committed, and the state is %+v", won, state)
	}
	return s.wantWritten(ctx, fmt.Sprint(won))
}

func zombie[T any](ctx context.Context, s *subject[T]) error {
	first, err := lease(ctx, s.Place, "A", s.Term, "A")
	if err != nil {
		return err
	}
	takeOver := func() error {
		if err := pause(ctx, 2*s.Term); err != nil {
			return err
		}
		_, err := lease(ctx, s.Second, "B", 50*s.Term, "B")
		return err
	}
	if s.OneWriter {
		if err := takeOver(); err != nil {
			return err
		}
	}
	err = s.Place.Apply(ctx, worker, first.Revision, func(ctx context.Context, tx T) (c change, err error) {
		if err := s.Write(ctx, tx, "zombie"); err != nil {
			return c, err
		}
		if !s.OneWriter {
			err = takeOver()
		}
		return change{Cursor: cursor(1)}, err
	})
	if !errors.Is(err, cdc.ErrFenced) {
		return fmt.Errorf("the Apply of A, which B has followed, returned %v, want ErrFenced", err) //nolint:errorlint // it may be any
	}
	return s.wantWritten(ctx)
}

func parkedKept[T any](ctx context.Context, s *subject[T]) error {
	at := time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)
	entry := func(seq uint64) cdc.Parked {
		return cdc.Parked{
			Key: "t\nk'\"é", Reason: "because", Tries: int(seq % 7), Due: at.Add(time.Hour), Behind: seq%2 == 0,
			Event: cdc.Event{Seq: seq, ID: "id", Topic: "t", Type: "x", Key: "k'\"é", Time: at, Data: []byte{0, 255, 13, 10}, Meta: map[string]string{"a": "b"}},
		}
	}
	seqs := []uint64{2, 10, 9, 256, 1 << 40}
	var all []cdc.Parked
	for _, seq := range seqs {
		all = append(all, entry(seq))
	}
	state := cdc.WorkerState{}
	replaced := entry(10)
	replaced.Reason, replaced.Due = "again", time.Time{}
	for _, c := range []change{
		{Cursor: cursor(1), Park: all},
		{Cursor: cursor(2), Park: []cdc.Parked{replaced}, Unpark: []uint64{9}},
		{Cursor: cursor(3)},
		{Cursor: cursor(4), Unpark: []uint64{2, 3, 1 << 40}},
	} {
		if err := s.set(ctx, worker, c); err != nil {
			return err
		}
		state = state.Next(c)
		got, err := s.Second.Load(ctx, worker)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(got.Parked, state.Parked) {
			return fmt.Errorf("parked are\n%+v, want\n%+v", got.Parked, state.Parked)
		}
	}
	return nil
}

func apart[T any](ctx context.Context, s *subject[T]) error {
	names := []string{"a", "A", "a ", "a/b", "a'b\"", "a%", "a_", "ä", "ab", "b"}
	slices.Sort(names)
	for i, name := range names {
		if _, err := s.Place.Lease(ctx, name, fmt.Sprint("holder", i), 50*s.Term); err != nil {
			return err
		}
		park := cdc.Parked{Event: cdc.Event{Seq: 7, Type: name}}
		if err := s.set(ctx, name, change{Cursor: cursor(uint64(i + 1)), Paused: i == 3, Park: []cdc.Parked{park}}); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	list, err := s.Second.Workers(ctx)
	if err != nil {
		return err
	}
	if len(list) != len(names) {
		return fmt.Errorf("%d workers are listed, want %d: %+v", len(list), len(names), list)
	}
	for i, name := range names {
		state, err := s.Second.Load(ctx, name)
		if err != nil {
			return err
		}
		if state.Cursor.Seq != uint64(i+1) || len(state.Parked) != 1 || state.Parked[0].Event.Type != name {
			return fmt.Errorf("the state of %q is %+v", name, state)
		}
		w := list[i]
		if w.Name != name || w.Cursor != state.Cursor || w.Paused != (i == 3) || w.Parked != 1 || w.Lease.Holder != fmt.Sprint("holder", i) || w.Lease.Remaining <= 0 {
			return fmt.Errorf("%q is listed as %+v", name, w)
		}
	}
	return nil
}
