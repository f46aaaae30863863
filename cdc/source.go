package cdc

import "context"

// PageBytes is about how many bytes of events ([Event.Size]) a page holds: it
// ends with the event that reaches it.
const PageBytes = 1 << 20

// Source is the durable side of a log. All methods may be called concurrently.
// With a context that has ended they return an error, best its cause; after a
// Close that the type may have, or of the store under it, [ErrClosed]; where the
// log was deleted from its store, [ErrDeleted]. Both may be wrapped.
type Source interface {
	// Read returns the oldest events above after.Seq in order, all from one
	// consistent view of the store. after.Epoch is never empty. limit is the
	// largest number of events, at least 1; a page also ends at about
	// [PageBytes], but holds one event if there is one.
	//
	// A cursor that cannot be resumed is a [*ResetError] from this very call,
	// decided in the same view: another epoch is foreign, one below the floor
	// is truncated, one above Last is future, and one whose tag is not that of
	// the event at its seq is diverged ([Bounds.Check] and [Bounds.CheckTag] do
	// all four). One between Head and Last is valid: the page is empty.
	Read(ctx context.Context, after Cursor, limit int) (Page, error)

	// Bounds returns the current bounds from the store itself, not from a
	// cache: what was committed before the call is in them.
	Bounds(ctx context.Context) (Bounds, error)
}

// Page is what [Source.Read] found. Every stable event in (after, Next] is in
// Events, or did not match a pushed-down filter. Caught up means that Next is
// after.Seq, never an empty Events: Next may lie above the last event where
// the log has holes, but never above the head.
type Page struct {
	Events []Event
	Next   uint64

	// Tag is the [Event.Tag] of the event at Next, if there is one that a
	// filter has left out of Events: with it the reader's position shows a log
	// that went back and grew again. Empty without a filter.
	Tag string
}

// Bounds are the limits of a log at one moment. No seq in them decreases
// within an epoch, whatever is deleted: they are stored, not derived from rows.
// Floor ≤ Head ≤ Last. Seqs need not be dense: Head may be as high as the
// lowest undecided seq - 1 whether or not there is an event, and Head and Last
// may be higher when the log is opened again. For a moment Head may lie inside an
// append of several events, of which the others follow: a Read that goes on to
// the end has all of them.
type Bounds struct {
	Epoch string // random text made with the log, see [NewEpoch]
	Floor uint64 // highest seq removed by retention; a cursor at Floor is valid
	Head  uint64 // highest stable seq: nothing at or below it can still appear
	Last  uint64 // highest seq ever given out, by any process
}

// Check returns a [*ResetError] for a cursor that is foreign, truncated or
// future within these bounds.
func (b Bounds) Check(after Cursor) error {
	switch {
	case after.Epoch != b.Epoch:
		return b.Reset(ReasonForeign, after.String())
	case after.Seq < b.Floor:
		return b.Reset(ReasonTruncated, after.String())
	case after.Seq > b.Last:
		return b.Reset(ReasonFuture, after.String())
	}
	return nil
}

// CheckTag returns a [*ResetError] if after carries a tag and the event stored
// at its seq is another one. at is that event, nil if there is none: above the
// floor and up to the head, a seq that once had an event still has it.
func (b Bounds) CheckTag(after Cursor, at *Event) error {
	if after.Tag == "" || after.Seq <= b.Floor || after.Seq > b.Head {
		return nil
	}
	if at == nil || at.Tag() != after.Tag {
		return b.Reset(ReasonDiverged, after.String())
	}
	return nil
}

// Reset is the error for a position that cannot be resumed within these bounds:
// it goes on at the head. requested is that position as text.
func (b Bounds) Reset(reason Reason, requested string) *ResetError {
	return &ResetError{
		Reason: reason, Requested: requested,
		Floor: b.Floor, Head: b.Head,
		Resume: Cursor{Epoch: b.Epoch, Seq: b.Head},
	}
}

// Resolve makes a cursor of a start, without asking whether it can be resumed:
// [Bounds.Check] does that.
func (b Bounds) Resolve(s Start) Cursor {
	cursor, ok := s.Cursor()
	switch {
	case ok && cursor.Epoch == "":
		cursor.Epoch = b.Epoch
	case s == Beginning():
		cursor = Cursor{Epoch: b.Epoch, Seq: b.Floor}
	case !ok:
		cursor = Cursor{Epoch: b.Epoch, Seq: b.Head}
	}
	return cursor
}

// Subscriber is the live side of a log.
type Subscriber interface {
	// Subscribe has taken effect when it returns: every commit from then on
	// ends a Next of the subscription. ctx bounds this call only, not the
	// subscription. It may be called concurrently.
	Subscribe(ctx context.Context) (Subscription, error)
}

// Subscription says when there is something new. One goroutine calls Next;
// Close may run beside it.
type Subscription interface {
	// Next blocks until something became readable that was not at the previous
	// call (at Subscribe, for the first): a commit, or an older writer ending.
	// It returns those events in order without a hole, or none and nil for
	// "the source has grown, read it". A needless wake-up is legal, a Next that
	// never waits is not: the suite allows 200 in a row.
	//
	// [ErrLagged] comes once per hole: the buffer is empty and filled again, so
	// what becomes readable from then on is returned later. If ctx ends the
	// call, nothing is consumed, and the error is or wraps its cause or its
	// Err. Any other error is final: every later Next returns it again, or
	// [ErrClosed] once Close was called. It is a [*ResetError] when the epoch
	// changed.
	Next(ctx context.Context) ([]Event, error)

	// Close frees the subscription and ends a Next that is running. It is
	// idempotent and returns nil the second time.
	Close() error
}

// Log is an ordered, durable log that can be read and followed.
type Log interface {
	Source
	Subscriber
}
