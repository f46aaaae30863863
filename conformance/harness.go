package conformance

import (
	"context"
	"io"
	"iter"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// Place is where one case may keep its log: nobody else uses it.
type Place struct {
	Dir  string // an empty folder of its own, removed after the case
	Name string // a name of its own, [a-z0-9_]: for a table, a key, a stream
	Case string // the name of the case, as [Case.Name] has it
}

// Tx is an open transaction of the store.
type Tx interface {
	// Append adds events that others see when Commit has returned.
	Append(ctx context.Context, events ...cdc.Event) error
	// Commit makes them part of the log.
	Commit(ctx context.Context) error
	// Rollback forgets them.
	Rollback(ctx context.Context) error
}

// Harness says what the suite can do with a log. Only Open is required, and
// that the log can be appended to. What is nil cannot be tested, and the cases
// that need it are skipped visibly. Funcs that take a log get one that Open,
// Second or Reopen returned; that of [cdc.Poll] gives the source back by
// log.(*cdc.Polled).Unwrap().
type Harness struct {
	// Open makes an empty log at the place. A log that is an [io.Closer] is
	// closed when the case ends.
	Open func(ctx context.Context, at Place) (cdc.Log, error)

	// Append appends; nil means [cdc.Append]. A store that others write to (a
	// table with triggers, another program) has none: write to it here, as they
	// do. Without either every case fails.
	Append func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error)

	// Trim removes events at or below seq; nil means [cdc.Trim].
	Trim func(ctx context.Context, log cdc.Log, seq uint64) (int, error)

	// Renew gives the log another epoch under its readers; nil means [cdc.Renew].
	Renew func(ctx context.Context, log cdc.Log) error

	// Begin opens a transaction, of which Writers can be open at once: 0 means
	// one, more are transactions that overlap.
	Begin   func(ctx context.Context, log cdc.Log) (Tx, error)
	Writers int

	// Second opens another handle on the log of the place, as another process
	// would have, while the first is open. It is often the func of Open.
	Second func(ctx context.Context, at Place) (cdc.Log, error)

	// Reopen opens the log of the place after every handle was closed. It is
	// the func of Open if that keeps what it finds.
	Reopen func(ctx context.Context, at Place) (cdc.Log, error)

	// Rewind takes the log back to what it held at seq without changing its
	// epoch, as a failover to a lagging replica does; the next append uses
	// seqs again. Streams may be open: they are not told.
	Rewind func(ctx context.Context, at Place, log cdc.Log, seq uint64) error

	// Sever cuts the connections that the live side stands on and says how many
	// it cut; the log has to find its way back.
	Sever func(ctx context.Context, at Place, log cdc.Log) (cut int, err error)

	// Break makes every read of the store fail, that of the bounds included (a
	// file or a table that is renamed), until the func that it returns is called.
	Break func(ctx context.Context, at Place, log cdc.Log) (mend func(), err error)

	// Lock takes the store as somebody does who writes for long (an exclusive
	// transaction, a lock of the file), so that an Append has to wait, until the
	// func that it returns is called.
	Lock func(ctx context.Context, at Place, log cdc.Log) (unlock func(), err error)

	// BreakEvent makes every read of the event with the seq fail, and of no other
	// (a row that cannot be decoded, an iterator that ends there with an error),
	// until the func that it returns is called. The bounds can be read.
	BreakEvent func(ctx context.Context, at Place, log cdc.Log, seq uint64) (mend func(), err error)

	// Follow is what turns a log into streams; nil means [cdc.Follow].
	Follow func(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) iter.Seq2[cdc.Batch, error]

	// Hub is what makes a log cheap for many streams; nil means [cdc.NewHub].
	Hub func(log cdc.Log) HubLog

	// Crash makes the cases in which a process is killed with SIGKILL
	// possible; see [CrashSelf].
	Crash *Crash

	// Bubble is true if the store runs in memory or on files only, so that
	// [Run] can give each case virtual time ([testing/synctest]): a lost
	// wake-up or a leaked goroutine is then found at once. It stands still
	// while anybody waits for a mutex, so a store that sleeps with one locked
	// needs real time.
	Bubble bool

	overHub bool
}

// HubLog is a log that has goroutines of its own.
type HubLog interface {
	cdc.Log
	io.Closer
}

func (h Harness) append(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
	if h.Append != nil {
		return h.Append(ctx, trial.Untapped(log), events...)
	}
	return cdc.Append(ctx, log, events...)
}

func (h Harness) trim(ctx context.Context, log cdc.Log, seq uint64) (int, error) {
	if h.Trim != nil {
		return h.Trim(ctx, trial.Untapped(log), seq)
	}
	return cdc.Trim(ctx, log, seq)
}

func (h Harness) renew(ctx context.Context, log cdc.Log) error {
	if h.Renew != nil {
		return h.Renew(ctx, trial.Untapped(log))
	}
	_, err := cdc.Renew(ctx, log)
	return err
}

func (h Harness) follow(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) iter.Seq2[cdc.Batch, error] {
	if h.Follow != nil {
		return h.Follow(ctx, log, start, opts)
	}
	return cdc.Follow(ctx, log, start, opts)
}

func (h Harness) hub(log cdc.Log) HubLog {
	if h.Hub != nil {
		return h.Hub(log)
	}
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		panic(err) // no options, no error
	}
	return hub
}
