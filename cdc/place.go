package cdc

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// ErrFenced is returned by [Place.Apply] if the state of the worker is not the
// one that the caller has read: another instance took over, or somebody moved
// or paused the worker. Nothing was written.
var ErrFenced = errors.New("cdc: the state of the worker was changed by others: load it again")

// Place keeps the state of workers in the store that their handlers write to.
// T is a transaction of that store. All methods may be called concurrently, by
// any number of processes. An application uses one of those in the packages of
// the logs; conformance/placetest tests a new one.
//
// For each worker there is a lease, a state and a list of parked events. The
// lease is stored apart from the state, so that it is renewed while a
// transaction that writes the state is open. A revision numbers the states of
// a worker: it grows with everything that changes one, and with each takeover.
type Place[T any] interface {
	// Lease takes or renews the lease of the worker for a term, by the store's
	// clock. A lease that is free or expired is given to the holder with a
	// generation one higher than any before; in the same transaction the
	// revision grows. One that the holder has is prolonged, with the generation
	// and revision that it had, also if it has expired and nobody took it. One
	// that another has stays as it is, and is returned without an error. A term
	// of 0 gives up the lease if the holder has it. Holders are never empty.
	Lease(ctx context.Context, worker, holder string, term time.Duration) (Lease, error)

	// Load returns the state of the worker, the zero value if it has none.
	Load(ctx context.Context, worker string) (WorkerState, error)

	// Apply runs fn in a transaction, at most once, and replaces the state by
	// what fn returns as the last thing before the commit, if the revision is
	// still the given one: otherwise it is [ErrFenced]. The revision grows by
	// one. With any error nothing was written, neither by fn nor of the state,
	// except that a commit may have an unknown outcome: the caller loads the
	// state, and a commit that is still under way then fences the next Apply.
	// A [*Failure] of class [Stop] that is not fn's says that the store cannot
	// keep this promise, and ends Consume. One of another class that is not fn's
	// says that the store has refused what fn wrote, at the commit perhaps, so
	// that nothing is there: it counts as a failure of the handler.
	// fn is given a context in which the logs of the store refuse an Append
	// that would not be part of the transaction, where they can tell.
	Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx T) (Change, error)) error

	// Workers lists all workers that have a state or a lease, by name.
	Workers(ctx context.Context) ([]Worker, error)
}

// Lease says who may work.
type Lease struct {
	Holder     string        // the instance that has it, or had it last; empty: none ever
	Generation uint64        // of this holder: grows with each takeover
	Revision   uint64        // of the state, at the time of the call
	Remaining  time.Duration // of the term, by the store's clock; 0 or less: it is free
}

// WorkerState is what a worker must not lose.
type WorkerState struct {
	Revision   uint64 // 0: there is no state yet, nor was there a lease
	Generation uint64 // of the lease that was taken last
	Cursor     Cursor // everything up to it took effect or is parked; the zero value: it never began
	Paused     bool
	Parked     []Parked // by seq
}

// Change is the next state of a worker.
type Change struct {
	Cursor Cursor
	Paused bool
	Park   []Parked // added, or put in the place of those with the same seq
	Unpark []uint64 // seqs of parked events that are removed; unknown ones do no harm
}

// Next is the state after the change: with the next revision, and the parked
// events in their order.
func (s WorkerState) Next(c Change) WorkerState {
	s.Revision++
	s.Cursor, s.Paused = c.Cursor, c.Paused
	if len(c.Park) == 0 && len(c.Unpark) == 0 {
		return s
	}
	gone := func(p Parked) bool {
		return slices.Contains(c.Unpark, p.Event.Seq) ||
			slices.ContainsFunc(c.Park, func(q Parked) bool { return q.Event.Seq == p.Event.Seq })
	}
	s.Parked = append(slices.DeleteFunc(slices.Clone(s.Parked), gone), c.Park...)
	slices.SortFunc(s.Parked, func(a, b Parked) int { return cmp.Compare(a.Event.Seq, b.Event.Seq) })
	return s
}

// Parked is an event that waits, with all that it needs to be handled later.
type Parked struct {
	Key    string    // what is kept in order, see [ConsumeOptions]; empty: the event alone
	Event  Event     // as it was in the log
	Reason string    // the last failure; empty for one that only waits behind another
	Tries  int       // how often it failed
	Behind bool      // it waits for an earlier one of its key and for nothing else
	Due    time.Time // when it is tried again by itself; zero: by [RetryParked] only
}

// Worker is an entry of the list of workers.
type Worker struct {
	Name   string
	Cursor Cursor // everything up to it took effect or is parked
	Paused bool
	Parked int // events
	Lease  Lease
}
