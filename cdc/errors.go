package cdc

import (
	"errors"
	"fmt"
)

var (
	// ErrLagged is returned once by [Subscription.Next] for each hole: events
	// were dropped between what Next returned before and what it returns next.
	// Read the source to get them.
	ErrLagged = errors.New("cdc: subscription lagged: read the source from the last seq that was handled")

	// ErrClosed is returned by what was closed: a log, a hub, a subscription.
	ErrClosed = errors.New("cdc: closed")

	// ErrDeleted is returned, wrapped, by a log that somebody deleted from its
	// store while it was open: it does not come back. To retry is of no use.
	ErrDeleted = errors.New("cdc: the log was deleted: open it again to begin a new one")

	// ErrUnknownOutcome wraps the error of an Append whose commit may or may
	// not have happened. Events that carry an ID can be appended again.
	ErrUnknownOutcome = errors.New("cdc: append may or may not have been committed: retry with the same event IDs")
)

// permanent reports whether the log that returned the error will never answer
// again.
func permanent(err error) bool { return errors.Is(err, ErrClosed) || errors.Is(err, ErrDeleted) }

// Reason says why a cursor cannot be resumed.
type Reason string

// The reasons of a [ResetError]. They are also the texts on the wire.
const (
	ReasonTruncated    Reason = "truncated"     // events after the cursor were removed by retention
	ReasonFuture       Reason = "future"        // the cursor is above everything the log ever numbered
	ReasonForeign      Reason = "foreign"       // the cursor is of another log or another epoch
	ReasonDiverged     Reason = "diverged"      // the event at the cursor is not the one that was seen
	ReasonMalformed    Reason = "malformed"     // the text is no cursor
	ReasonTooFar       Reason = "too-far"       // more would be replayed than the cap allows
	ReasonEpochChanged Reason = "epoch-changed" // the log was made anew or rewound under an open stream
)

// ResetError says that a stream cannot go on from where it was: events may
// have been skipped. The reader reloads its state and goes on after Resume.
type ResetError struct {
	Reason    Reason
	Requested string // the cursor that cannot be resumed, as text
	Floor     uint64 // highest seq removed by retention
	Head      uint64 // highest stable seq
	Resume    Cursor // where to go on: the head, unless options say the floor
}

// Error names the cursor, the reason and where to go on.
func (e *ResetError) Error() string {
	return fmt.Sprintf("cdc: cannot resume after %.140q: %s (floor %d, head %d): reload state and resume after %q",
		e.Requested, e.Reason, e.Floor, e.Head, e.Resume)
}

// TooLargeError refuses an event above MaxEventBytes. Nothing was appended.
type TooLargeError struct {
	Index int // of the event among those given to Append
	Size  int // bytes, see Event.Size
	Max   int // bytes
}

// Error says by how much, and what to do.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("cdc: event %d is %d bytes, the limit is %d: store the payload elsewhere and append a reference, or raise MaxEventBytes", e.Index, e.Size, e.Max)
}

// BatchTooLargeError refuses one Append of more events or bytes than the log can
// store all or none in one step. Nothing was appended.
type BatchTooLargeError struct {
	Events, MaxEvents int
	Bytes, MaxBytes   int // by Event.Size, together; Bytes is 0 if the events are too many
}

// Error names the limit and what to do.
func (e *BatchTooLargeError) Error() string {
	if e.Bytes > e.MaxBytes {
		return fmt.Sprintf("cdc: the events are %d bytes together, the limit is %d: append them in several calls", e.Bytes, e.MaxBytes)
	}
	return fmt.Sprintf("cdc: %d events in one call, the limit is %d: append them in several calls", e.Events, e.MaxEvents)
}

// InvalidEventError refuses an event that some store or transport could not
// carry. Nothing was appended.
type InvalidEventError struct {
	Index   int    // of the event among those given to Append
	Field   string // name of the Event's field
	Problem string
}

// Error names the field and the problem.
func (e *InvalidEventError) Error() string {
	return fmt.Sprintf("cdc: event %d: %s %s", e.Index, e.Field, e.Problem)
}

// CursorError refuses a text that is no [Cursor].
type CursorError struct {
	Text    string
	Problem string
}

// Error quotes at most the first 140 bytes of the text.
func (e *CursorError) Error() string {
	return fmt.Sprintf("cdc: cursor %.140q %s; want <epoch>.<seq>.<tag>, as in the id of a received event, or a number", e.Text, e.Problem)
}
