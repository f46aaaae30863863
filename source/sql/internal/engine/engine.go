package engine

import (
	"context"

	"github.com/gapless-go/gapless/cdc"
)

// Engine is a log in one mode of one dialect. Its errors are not yet wrapped
// for the user. All methods may be called concurrently.
type Engine interface {
	Reader
	Writer
	// Assist makes things faster while the feed runs, until ctx ends.
	Assist(ctx context.Context, f *Feed)
	// Close frees what is held of the database, without waiting for a call
	// that hangs.
	Close() error
}

// Reader is the reading half of an Engine.
type Reader interface {
	// State reads the head row and changes nothing.
	State(ctx context.Context) (State, error)
	// Bounds gives every event that was committed before the call its place,
	// and returns the bounds then.
	Bounds(ctx context.Context) (cdc.Bounds, error)
	// Poll is what the feed calls again and again: Bounds without waiting for
	// others who are doing it, in the cheapest form. busy says that more may
	// come soon without a commit that the feed could see.
	Poll(ctx context.Context) (b cdc.Bounds, busy bool, err error)
	// Read is that of a cdc.Source, or of a cdc.FilterReader if topics are asked
	// for.
	Read(ctx context.Context, a Ask) (cdc.Page, error)
	// ReadsTopics reports whether Read finds events by their topics.
	ReadsTopics() bool
}

// Writer is the writing half of an Engine.
type Writer interface {
	// Append adds the events in a transaction of its own.
	Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error)
	// AppendTx adds the events in the caller's transaction.
	AppendTx(ctx context.Context, tx Tx, events []cdc.Event) error
	// Trim removes at most TrimBatch events at or below seq; more says that
	// there may be others.
	Trim(ctx context.Context, seq uint64) (removed int, more bool, err error)
	// Renew begins a new epoch.
	Renew(ctx context.Context) (epoch string, err error)
}

// TrimBatch is how many events one transaction of Trim removes.
const TrimBatch = 1000
