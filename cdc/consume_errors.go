package cdc

import (
	"errors"
	"fmt"
	"time"
)

// Class says what a worker does with an event on which its handler failed.
type Class int

// The classes of a [Failure].
const (
	Again Class = iota // try it after a pause, and park it after ConsumeOptions.MaxTries
	Later              // park it with its key and try it after Failure.After by itself; others go on
	Park               // park it with its key until somebody calls RetryParked or DropParked; others go on
	Stop               // end Consume with the error
)

// String is the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case Again:
		return "again"
	case Later:
		return "later"
	case Park:
		return "park"
	case Stop:
		return "stop"
	}
	return fmt.Sprintf("Class(%d)", int(c))
}

// Failure is the error of a handler that knows what is to be done. Any other
// error is of class [Again].
type Failure struct {
	Class Class
	After time.Duration // of class Later: how long until the next try
	Err   error
}

// Error is the text of Err, with the class.
func (f *Failure) Error() string { return fmt.Sprintf("%v (%v)", f.Err, f.Class) }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// ParkedError ends [Consume]: more events would be parked than MaxParked.
type ParkedError struct {
	Worker string
	Max    int
	Err    error // of the event that could not be parked; nil if it would only wait behind another
}

// Error says what to do.
func (e *ParkedError) Error() string {
	return fmt.Sprintf("cdc: worker %q: %d events are parked already: retry or drop them, or raise MaxParked: %v", e.Worker, e.Max, e.Err)
}

// Unwrap returns Err.
func (e *ParkedError) Unwrap() error { return e.Err }

var (
	// errLeaseLost: another instance may work.
	errLeaseLost = errors.New("the lease was lost: waiting for it again")

	// errReload: what is in memory is not, or may not be, what is stored.
	errReload = errors.New("cdc: load the state again")
)

// eventError is a failure of the handler on one event of a batch.
type eventError struct {
	index int
	err   error
}

func (e *eventError) Error() string { return e.err.Error() }
func (e *eventError) Unwrap() error { return e.err }

// refusedError is what the place says if the store has refused what the handler
// wrote in a transaction. Of several events nobody knows whose it was.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func isFailure(err error) bool {
	_, ok := errors.AsType[*Failure](err)
	return ok
}

// failure returns what the handler asks for.
func failure(err error) Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return *f
	}
	return Failure{Class: Again, Err: err}
}
