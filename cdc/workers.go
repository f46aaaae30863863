package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// WorkersOf names workers of a place.
type WorkersOf struct {
	Place WorkerLister
	Names []string // none: all of the place, which [Retain] refuses
}

// WorkerLister is a [Place] of any transaction.
type WorkerLister interface {
	// Workers is that of [Place].
	Workers(ctx context.Context) ([]Worker, error)
}

// list returns the workers that are named, all if none is. One that has never
// begun and has no lease is listed by its name alone.
func (of WorkersOf) list(ctx context.Context) ([]Worker, error) {
	if of.Place == nil {
		return nil, errors.New("cdc: WorkersOf.Place is nil: use the place of the workers")
	}
	all, err := of.Place.Workers(ctx)
	if err != nil || len(of.Names) == 0 {
		return all, err
	}
	list := make([]Worker, len(of.Names))
	for i, name := range of.Names {
		list[i].Name = name
		if n := slices.IndexFunc(all, func(w Worker) bool { return w.Name == name }); n >= 0 {
			list[i] = all[n]
		}
	}
	return list, nil
}

// WorkerStatus is a worker, and how far it is behind the log.
type WorkerStatus struct {
	Worker

	Head   uint64        // of the log
	Behind uint64        // seqs, see [Lag]
	Age    time.Duration // of the first event that it has not handled

	// Err is why Behind and Age are not known: a [*ResetError] if the worker
	// cannot go on from where it stands, or what the log failed with. It is nil for
	// one that has never begun, whose Cursor is the zero value.
	Err error
}

// ListWorkers returns workers that read the log, in the order of the arguments
// and by name. With an error of a place those of the others are listed.
func ListWorkers(ctx context.Context, log Log, of ...WorkersOf) ([]WorkerStatus, error) {
	var list []WorkerStatus
	var errs []error
	b, logErr := log.Bounds(ctx)
	for _, o := range of {
		workers, err := o.list(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("cdc: list workers: %w", err))
		}
		for _, w := range workers {
			s := WorkerStatus{Worker: w, Head: b.Head, Err: logErr}
			if logErr == nil && w.Cursor != (Cursor{}) {
				s.Behind, s.Age, s.Err = b.lag(ctx, log, w.Cursor)
			}
			list = append(list, s)
		}
	}
	return list, errors.Join(errs...)
}

// Lag says how far a worker that stands at the cursor is behind: in seqs, which
// may count holes and events that its filter leaves out, and by the age of the
// first event that it has not handled. It is 0, 0 at the head. A cursor that
// cannot be resumed is a [*ResetError]; any other error is the log's.
func Lag(ctx context.Context, log Log, at Cursor) (seqs uint64, age time.Duration, err error) {
	b, err := log.Bounds(ctx)
	if err != nil {
		return 0, 0, err
	}
	return b.lag(ctx, log, at)
}

func (b Bounds) lag(ctx context.Context, log Log, at Cursor) (seqs uint64, age time.Duration, err error) {
	if err := b.Check(at); err != nil {
		return 0, 0, err
	}
	if at.Seq >= b.Head {
		return 0, 0, nil
	}
	page, err := log.Read(ctx, at, 1)
	if err != nil || len(page.Events) == 0 {
		return 0, 0, err
	}
	return b.Head - at.Seq, max(0, time.Since(page.Events[0].Time)), nil
}
