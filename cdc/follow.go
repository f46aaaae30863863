package cdc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// State says whether a stream is still reading history.
type State int

// The states of a stream. It may turn from Live back to Replaying, when its
// subscription lagged.
const (
	Replaying State = iota // reading the source up to its head
	Live                   // delivering what becomes readable
)

// String is "replaying" or "live".
func (s State) String() string {
	if s == Live {
		return "live"
	}
	return "replaying"
}

// Batch is one step of a stream.
type Batch struct {
	// Events are the next ones that the filter selects, in order. It is empty
	// where only the cursor or the state moved, or nothing for a heartbeat.
	Events []Event

	// Cursor is the position after the batch: everything up to it was
	// delivered or did not match. A stream that resumes from it loses nothing.
	Cursor Cursor

	State State
}

// ResetTo says where a [ResetError] points: the place to go on from after a
// reset.
type ResetTo int

// The places to go on from.
const (
	ResetToHead  ResetTo = iota // skip to the head: the reader reloads its state anyway
	ResetToFloor                // replay everything that is retained
)

// FollowOptions of [Follow]; nil means the defaults.
type FollowOptions struct {
	// Filter selects the events to deliver. The zero value is all.
	Filter Filter

	// Heartbeat is the longest time between two batches, measured from the
	// last. 0 means 15 s; negative is refused.
	Heartbeat time.Duration

	// PageSize is the largest number of events read at once. 0 means 512;
	// negative is refused.
	PageSize int

	// MaxReplay is how far, in seqs, a start may lie below the head; one that
	// lies further is a [*ResetError] with [ReasonTooFar]. 0 means no limit;
	// it cannot be negative.
	MaxReplay uint64

	// ResetTo is where a [ResetError] of this stream points: its Resume. The
	// zero value is the head. [ResetToFloor] together with MaxReplay is refused:
	// a reader sent to the floor would be reset again for ever.
	ResetTo ResetTo
}

// Check says what is wrong with the options; nil options are right.
func (o *FollowOptions) Check() error {
	switch {
	case o == nil:
		return nil
	case o.Heartbeat < 0:
		return fmt.Errorf("cdc: FollowOptions.Heartbeat is %v: it must not be negative", o.Heartbeat)
	case o.PageSize < 0:
		return fmt.Errorf("cdc: FollowOptions.PageSize is %d: it must not be negative", o.PageSize)
	case o.ResetTo != ResetToHead && o.ResetTo != ResetToFloor:
		return fmt.Errorf("cdc: FollowOptions.ResetTo is %d: use ResetToHead or ResetToFloor", o.ResetTo)
	case o.ResetTo == ResetToFloor && o.MaxReplay > 0:
		return errors.New("cdc: FollowOptions.ResetTo is ResetToFloor and MaxReplay is set: a reader sent to the floor would be too far again; drop one of them")
	}
	return nil
}

// Follow delivers every event after start that the filter selects, in order,
// each once: history first, then what becomes readable, without a gap between
// the two. A gap is an error, never a shorter stream.
//
// The first batch is empty and holds the cursor that the start was resolved
// to; from then on a batch comes at least once per heartbeat interval. Live is
// announced by a batch of its own, once for each turn to live.
//
// The sequence ends with exactly one non-nil error, beside which the batch
// holds the last cursor: the cause of ctx, a [*ResetError], or what the log
// returned. Options that [FollowOptions.Check] refuses are the first and only
// error, before the log is asked anything. After a reset the reader reloads its state and follows from
// ResetError.Resume. Nothing is yielded after the loop was left. A slow reader
// slows only itself, and costs no queue.
//
// The sequence may be ranged over more than once, each time from start.
func Follow(ctx context.Context, log Log, start Start, opts *FollowOptions) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f := &follower{ctx: ctx, yield: yield}
		f.init(log, opts)
		err := opts.Check()
		if err == nil {
			err = f.proceed(start) //nolint:contextcheck // f has the context
		}
		if !errors.Is(err, errLoopLeft) {
			yield(Batch{Cursor: f.pos, State: f.state}, err)
		}
	}
}
