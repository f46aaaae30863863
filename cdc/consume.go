package cdc

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"
)

// MaxWorkerBytes is the longest name of a worker.
const MaxWorkerBytes = 128

// Handler is what a worker does with each event.
type Handler[T any] struct {
	// Prepare is for what is slow or outside of the store: a call, a mail. It
	// runs before Apply, in no transaction. It may run more than once for an
	// event, and after a pause of the process in two instances at once: what it
	// sends should carry the ID of the event as its idempotency key. It leaves
	// its result in Delivery.Prepared. Nil: there is nothing to prepare.
	Prepare func(ctx context.Context, d *Delivery) error

	// Apply writes what follows from the event with the transaction, and
	// nothing else: it took effect once the cursor has moved, in the same
	// transaction. It should be short, and use ctx for what it calls. Several
	// events share a transaction.
	Apply func(ctx context.Context, tx T, d *Delivery) error

	// Reset decides what to do when events between the cursor and the log were
	// lost: it rebuilds or empties what it keeps, with the transaction, and
	// returns where to go on, such as After(reset.Resume) or Beginning().
	// Parked events are dropped. If it returns an error, that ends Consume. Nil:
	// a reset ends Consume with the [*ResetError].
	Reset func(ctx context.Context, tx T, reset *ResetError) (Start, error)
}

// Delivery is an event on its way to a handler.
type Delivery struct {
	Event    Event
	State    State // Replaying while the worker catches up: the event is history
	Tries    int   // how often it failed before
	Prepared any   // what Prepare left for Apply

	prepared bool // Prepare has returned nil
}

// ConsumeOptions of [Consume]; nil means the defaults.
type ConsumeOptions struct {
	// Start is where a worker without a state begins. The zero value is the
	// head: Latest.
	Start Start

	// Filter selects the events to handle. The zero value is all.
	Filter Filter

	// Key is what keeps its order when an event is parked. Events with an empty
	// key are parked alone. Nil: Topic and Key of an event that has a Key.
	Key func(Event) string

	// BatchSize is the largest number of events in a transaction. 0 means 100;
	// negative is refused.
	BatchSize int

	// BatchWait is how long to wait for a full batch. 0: what is there is
	// handled at once; negative is refused.
	BatchWait time.Duration

	// MaxTries is how often a handler may fail on an event before that is
	// parked. In between the worker pauses. 0 means 5; negative means that it is
	// never parked for that.
	MaxTries int

	// MaxPause is the longest pause between two tries, which grows from 100 ms.
	// 0 means 10 s; negative is refused.
	MaxPause time.Duration

	// MaxParked is how many events may be parked; one more ends Consume with a
	// [*ParkedError]. 0 means 1,000; negative is refused.
	MaxParked int

	// Term of the lease: another instance takes over when it was not renewed
	// for so long. It is renewed after half of that, and those that wait look
	// after a quarter. 0 means 4 s; less than 20 ms is refused.
	Term time.Duration

	// OnActive is called when this instance has taken over, with its lease.
	// Nil: nobody is told.
	OnActive func(Lease)

	// OnError is called with what failed and is tried again or parked. It must
	// be safe for concurrent use. Nil means that this is not reported.
	OnError func(error)
}

// check says what is wrong with the options; nil options are right.
func (o *ConsumeOptions) check() error {
	switch {
	case o == nil:
		return nil
	case o.BatchSize < 0:
		return fmt.Errorf("cdc: ConsumeOptions.BatchSize is %d: it must not be negative", o.BatchSize)
	case o.BatchWait < 0:
		return fmt.Errorf("cdc: ConsumeOptions.BatchWait is %v: it must not be negative", o.BatchWait)
	case o.MaxPause < 0:
		return fmt.Errorf("cdc: ConsumeOptions.MaxPause is %v: it must not be negative", o.MaxPause)
	case o.MaxParked < 0:
		return fmt.Errorf("cdc: ConsumeOptions.MaxParked is %d: it must not be negative", o.MaxParked)
	case o.Term != 0 && o.Term < 20*time.Millisecond:
		return fmt.Errorf("cdc: ConsumeOptions.Term is %v: use at least 20ms", o.Term)
	}
	return nil
}

func (o *ConsumeOptions) resolved() ConsumeOptions {
	r := ConsumeOptions{}
	if o != nil {
		r = *o
	}
	r.BatchSize = cmp.Or(r.BatchSize, 100)
	r.MaxTries = cmp.Or(r.MaxTries, 5)
	r.MaxPause = cmp.Or(r.MaxPause, 10*time.Second)
	r.MaxParked = cmp.Or(r.MaxParked, 1000)
	r.Term = cmp.Or(r.Term, 4*time.Second)
	if r.Key == nil {
		r.Key = topicAndKey
	}
	return r
}

func topicAndKey(e Event) string {
	if e.Key == "" {
		return ""
	}
	return e.Topic + "\n" + e.Key
}

// Consume handles every event of the log, each with effect exactly once in the
// store of the place, in the order of the log. It returns when ctx ends, with
// its cause, or with what stops the worker: an error of class [Stop], a
// [*ResetError] if the handler has no Reset, a [*ParkedError], [ErrClosed],
// [ErrDeleted], or what is wrong with the arguments. Other failures of the log and the place are
// told to OnError and tried again.
//
// Of all instances with the same name and place one works, and the others wait.
// One that returns gives up its lease at once; one that dies, or is paused
// longer than the term, is followed by another, and what it had not committed
// is handled again. It can commit nothing after that.
//
// An event on which the handler fails is tried again alone, after pauses; then
// it is parked, and later events of its key behind it, and the others go on.
// [Failure] makes other choices.
func Consume[T any](ctx context.Context, log Log, name string, place Place[T], handler Handler[T], opts *ConsumeOptions) error {
	if err := opts.check(); err != nil {
		return err
	}
	switch {
	case log == nil:
		return errors.New("cdc: consume: log is nil")
	case place == nil:
		return errors.New("cdc: consume: place is nil: use the place of the store that the handler writes to")
	case handler.Apply == nil:
		return errors.New("cdc: consume: Handler.Apply is nil")
	}
	if err := CheckWorker(name); err != nil {
		return err
	}
	c := &consumer[T]{log: log, name: name, place: place, handler: handler, opts: opts.resolved(), holder: newHolder()}
	for {
		err := c.acquire(ctx)
		if err == nil {
			err = c.hold(ctx)
		}
		if !errors.Is(err, errLeaseLost) {
			return err
		}
		c.report(fmt.Errorf("worker %q: %w", name, err))
	}
}

// CheckWorker says what is wrong with the name of a worker. It is 1 to
// [MaxWorkerBytes] bytes of UTF-8 without NUL.
func CheckWorker(name string) error {
	switch {
	case name == "":
		return errors.New("cdc: the name of the worker is empty: instances of one name share one position")
	case len(name) > MaxWorkerBytes:
		return fmt.Errorf("cdc: the name of the worker is %d bytes long, the limit is %d", len(name), MaxWorkerBytes)
	case !utf8.ValidString(name) || badText(name) != "":
		return fmt.Errorf("cdc: the name of the worker, %q, %s", name, badText(name))
	}
	return nil
}

// newHolder names this instance for people who ask who works.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.60s/%d/%s", host, os.Getpid(), rand.Text()[:8])
}
