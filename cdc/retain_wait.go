package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RetainWait makes [Retain] wait for workers, up to limits above its own. At
// least one of these must be set, so that a worker that is gone cannot fill the
// disk: beyond it events are removed, and a worker that has not handled them
// gets a [*ResetError] with [ReasonTruncated].
//
// What is parked is stored with the worker and waits for nothing. A worker that
// has never begun needs every event. One that stands in another epoch, or below
// the floor, is reset in any case and not waited for. While a place cannot be
// reached, everything is kept, up to the limits.
type RetainWait struct {
	Workers []WorkersOf // by name, which read this log

	MaxEvents int64         // number of events to keep for workers; 0 means no limit, negative is refused
	MaxBytes  int64         // bytes to keep, counted by Event.Size; 0 means no limit, negative is refused
	MaxAge    time.Duration // age of the oldest event to keep, by Event.Time; 0 means no limit, negative is refused
}

func (w *RetainWait) limits() limits { return limits{w.MaxEvents, w.MaxBytes, w.MaxAge} }

// check says what is wrong; nil is right. below are the limits without workers.
func (w *RetainWait) check(below limits) error {
	if w == nil {
		return nil
	}
	l := w.limits()
	switch {
	case len(w.Workers) == 0:
		return errors.New("cdc: RetainWait.Workers is empty: name the workers to wait for, or leave RetainOptions.Wait nil")
	case l == limits{}:
		return errors.New("cdc: RetainWait has no limit: set MaxEvents, MaxBytes or MaxAge, since a worker that is gone would keep everything for ever")
	}
	if err := l.check("RetainWait"); err != nil {
		return err
	}
	switch {
	case l.events > 0 && l.events <= below.events:
		return fmt.Errorf("cdc: RetainWait.MaxEvents is %d, and so many are kept without a worker: it must be above RetainOptions.MaxEvents, which is %d", l.events, below.events)
	case l.bytes > 0 && l.bytes <= below.bytes:
		return fmt.Errorf("cdc: RetainWait.MaxBytes is %d, and so many are kept without a worker: it must be above RetainOptions.MaxBytes, which is %d", l.bytes, below.bytes)
	case l.age > 0 && l.age <= below.age:
		return fmt.Errorf("cdc: RetainWait.MaxAge is %v, and events are kept for so long without a worker: it must be above RetainOptions.MaxAge, which is %v", l.age, below.age)
	}
	for _, of := range w.Workers {
		if err := of.checkNamed(); err != nil {
			return err
		}
	}
	return nil
}

func (of WorkersOf) checkNamed() error {
	switch {
	case of.Place == nil:
		return errors.New("cdc: WorkersOf.Place is nil: use the place of the workers")
	case len(of.Names) == 0:
		return errors.New("cdc: WorkersOf.Names is empty: Retain waits for workers that are named, since a place may have those of other logs")
	}
	for _, name := range of.Names {
		if err := CheckWorker(name); err != nil {
			return err
		}
	}
	return nil
}

// placeTime is how long a place may take to list its workers.
const placeTime = 10 * time.Second

// wait lowers the seq to the slowest of the workers, but not below what is above
// the limits for them. It does so also with an error.
func (r *retainer) wait(ctx context.Context, b Bounds, seq uint64) (uint64, error) {
	if r.opts.Wait == nil || seq <= b.Floor {
		return seq, nil
	}
	slowest, err := r.slowest(ctx, b, seq)
	if slowest == seq {
		return seq, err
	}
	beyond, limitErr := r.surplus(ctx, r.opts.Wait.limits())
	if limitErr != nil {
		return b.Floor, errors.Join(err, limitErr)
	}
	return max(slowest, min(beyond, seq)), err
}

// slowest is the seq, up to the given one, above which a worker needs events: the
// floor with an error of a place.
func (r *retainer) slowest(ctx context.Context, b Bounds, seq uint64) (slowest uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, placeTime, fmt.Errorf("the place has not listed its workers within %v", placeTime))
	defer cancel()
	slowest = seq
	for _, of := range r.opts.Wait.Workers {
		list, listErr := of.list(ctx)
		if listErr != nil {
			err = errors.Join(err, fmt.Errorf("waiting for the workers %q: %w", of.Names, listErr))
			slowest = b.Floor
		}
		for _, w := range list {
			slowest = min(slowest, w.needsAbove(b, seq))
		}
	}
	return slowest, err
}

// needsAbove is the seq above which the worker needs events, seq if it needs none
// below that.
func (w Worker) needsAbove(b Bounds, seq uint64) uint64 {
	switch {
	case w.Cursor == Cursor{}:
		return b.Floor
	case w.Cursor.Epoch != b.Epoch || w.Cursor.Seq < b.Floor:
		return seq
	}
	return w.Cursor.Seq
}
