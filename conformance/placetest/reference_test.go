package placetest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// reference is a place in memory whose transactions run beside each other, and
// which is correct unless it has a bug.
type reference struct {
	bug bug

	mu      sync.Mutex
	workers map[string]*entry
	list    []string
}

type entry struct {
	state   cdc.WorkerState
	lease   cdc.Lease
	expires time.Time
	given   bool // up, by the holder
}

type tx struct{ texts []string }

func newReference(b bug) (placetest.Store[*tx], error) {
	r := &reference{bug: b, workers: map[string]*entry{}}
	return placetest.Store[*tx]{
		Place: r,
		Log:   memlog.New(nil),
		Write: func(_ context.Context, tx *tx, text string) error {
			tx.texts = append(tx.texts, text)
			if b == writesOutsideTransaction {
				r.commit([]string{text})
			}
			return nil
		},
		Written: func(context.Context) ([]string, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.list), nil
		},
	}, nil
}

func (r *reference) commit(texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, texts...)
}

// named returns the entry, which is made if it is missing; r.mu is held.
func (r *reference) named(name string) *entry {
	if r.bug == workersShareState {
		name = ""
	}
	if r.workers[name] == nil {
		r.workers[name] = &entry{}
	}
	return r.workers[name]
}

func (r *reference) Lease(_ context.Context, name, holder string, term time.Duration) (cdc.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, now := r.named(name), time.Now()
	mine := w.lease.Holder == holder && !w.given || r.bug == anyoneGivesUp && term == 0
	free := w.given || !w.expires.After(now) && r.bug != neverExpires || r.bug == grantsToAll
	switch {
	case mine && term == 0:
		if r.bug != keepsWhatIsGivenUp {
			w.expires, w.given = now, true
		}
	case mine:
		r.renew(w, now.Add(term))
	case term > 0 && free:
		r.takeOver(w, holder)
		w.expires, w.given = now.Add(term), false
	}
	l := w.lease
	l.Revision, l.Remaining = w.state.Revision, max(0, w.expires.Sub(now))
	if r.bug == hidesHolder && l.Holder != holder {
		l.Holder = holder
	}
	return l, nil
}

func (r *reference) renew(w *entry, until time.Time) {
	if r.bug != neverProlongs {
		w.expires = until
	}
	switch r.bug {
	case renewalFences:
		w.state.Revision++
	case renewalIsTakeover:
		w.lease.Generation++
	}
}

func (r *reference) takeOver(w *entry, holder string) {
	w.lease.Holder = holder
	if r.bug != generationReused {
		w.lease.Generation++
	}
	if r.bug != generationNotInState {
		w.state.Generation = w.lease.Generation
	}
	if r.bug != takeoverKeepsRevision {
		w.state.Revision++
	}
}

func (r *reference) Load(_ context.Context, name string) (cdc.WorkerState, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.workers[name] == nil && r.bug != workersShareState {
		return cdc.WorkerState{}, nil
	}
	s := r.named(name).state
	s.Parked = slices.Clone(s.Parked)
	switch r.bug {
	case tagLost:
		s.Cursor.Tag = ""
	case pauseForgotten:
		s.Paused = false
	case parkedForgotten:
		s.Parked = nil
	case parkedUnordered:
		slices.Reverse(s.Parked)
	case parkedWithoutData:
		for i := range s.Parked {
			s.Parked[i].Event.Data = nil
		}
	}
	return s, nil
}

func (r *reference) Apply(ctx context.Context, name string, revision uint64, fn func(ctx context.Context, tx *tx) (cdc.Change, error)) error {
	if r.bug == cursorBeforeHandler {
		return r.cursorFirst(ctx, name, revision, fn)
	}
	t := &tx{}
	if r.bug == checkedAtBegin {
		if err := r.check(name, revision); err != nil {
			return err
		}
	}
	change, err := fn(ctx, t)
	if err != nil {
		if r.bug == failedBatchCommitted {
			r.commit(t.texts)
		}
		return err
	}
	if r.bug != checkedAtBegin && r.bug != neverChecked {
		if err := r.check(name, revision); err != nil {
			return r.refuse(name, t, change, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(r.named(name), change)
	if r.bug != effectsLost {
		r.list = append(r.list, t.texts...)
	}
	return nil
}

// cursorFirst is the bug of a checkpoint that is saved before the work.
func (r *reference) cursorFirst(ctx context.Context, name string, revision uint64, fn func(ctx context.Context, tx *tx) (cdc.Change, error)) error {
	if err := r.check(name, revision); err != nil {
		return err
	}
	t := &tx{}
	change, err := fn(ctx, t)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(r.named(name), change)
	if err == nil {
		r.list = append(r.list, t.texts...)
	}
	return err
}

func (r *reference) check(name string, revision uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.workers[name]
	if r.bug == workersShareState {
		w = r.named(name)
	}
	switch {
	case w == nil && revision == 0 || w != nil && w.state.Revision == revision:
		return nil
	case w != nil && r.bug == olderIsChecked && w.state.Revision < revision:
		return nil
	case r.bug == fencedWithoutName:
		return errors.New("0 rows were updated")
	}
	return cdc.ErrFenced
}

// refuse is what is left of a transaction that was fenced.
func (r *reference) refuse(name string, t *tx, change cdc.Change, err error) error {
	switch r.bug {
	case fencedIsSuccess:
		return nil
	case fencedCommitsEffects:
		r.commit(t.texts)
	case parkedOutsideTransaction:
		r.mu.Lock()
		defer r.mu.Unlock()
		w := r.named(name)
		w.state.Parked = w.state.Next(cdc.Change{Park: change.Park}).Parked
	}
	return err
}

func (r *reference) write(w *entry, change cdc.Change) {
	if r.bug == unparkIgnored {
		change.Unpark = nil
	}
	next := w.state.Next(change)
	switch r.bug {
	case cursorNotSaved:
		next.Cursor = w.state.Cursor
	case revisionStays:
		next.Revision = max(1, w.state.Revision)
	case replacedTwice:
		next.Parked = append(slices.Clone(w.state.Parked), change.Park...)
	}
	w.state = next
}

func (r *reference) Workers(context.Context) ([]cdc.Worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.workers))
	switch r.bug {
	case listUnordered:
		slices.Reverse(names)
	case listWithoutLast:
		names = names[:max(0, len(names)-1)]
	}
	var list []cdc.Worker
	for _, name := range names {
		w := r.workers[name]
		lease := w.lease
		lease.Remaining = max(0, time.Until(w.expires))
		if r.bug == listWithoutCursor {
			w = &entry{lease: w.lease}
		}
		list = append(list, cdc.Worker{Name: name, Cursor: w.state.Cursor, Paused: w.state.Paused, Parked: len(w.state.Parked), Lease: lease})
	}
	return list, nil
}
