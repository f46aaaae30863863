package statuspage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// The log is asked for its bounds this often at most, and only while somebody
// looks. One that takes longer to answer counts as unreachable.
const (
	askInterval = 2 * time.Second
	askTimeout  = time.Second
)

// errorAge is how old an error is when it is past, if the log did not recover
// since.
const errorAge = time.Minute

// logState is what is known of the log.
type logState string

const (
	logWaiting     logState = "waiting"     // it was never reached
	logReachable   logState = "reachable"   // it answers, and the Hub follows it
	logUnfollowed  logState = "unfollowed"  // it answers, and the Hub cannot follow it
	logUnreachable logState = "unreachable" // it does not answer
	logEnded       logState = "ended"       // it was closed or deleted, or the Hub was closed
)

// lagKnown reports whether anybody knows how far the streams are behind.
func (s logState) lagKnown() bool { return s == logReachable || s == logUnfollowed }

// logged is the log in the answer. Without Answered nothing of the log is
// known but what it is.
type logged struct {
	Backend  string     `json:"backend"`
	State    logState   `json:"state"`
	Since    time.Time  `json:"since"` // of the state, as far as it is known
	Error    string     `json:"error,omitempty"`
	Answered *time.Time `json:"answered"` // when the log was last asked with success
	Epoch    string     `json:"epoch"`
	Floor    uint64     `json:"floor,string"`
	Head     uint64     `json:"head,string"`
	Appended *time.Time `json:"appended"`      // time of the newest event; null if there is none, or none is known
	Behind   uint64     `json:"behind,string"` // seqs between the end of the Hub's tail and the head, if events are there
}

// watch is what the page knows of the log between two answers.
type watch struct {
	hub     *cdc.Hub
	backend string

	asked    time.Time // begin of the last question
	answered time.Time // of the last that was answered
	failed   time.Time // since when it does not answer; zero while it does
	err      error     // why
	bounds   cdc.Bounds
	newest   cdc.Event // the event at bounds.Head, as far as it is known
	beyond   cdc.Event // the first event above the end of the tail when it was asked last; Seq is 0 if there was none

	state logState
	since time.Time

	workers *workers // as they were when the log was asked; nil: there are none
}

func newWatch(hub *cdc.Hub, now time.Time) *watch {
	return &watch{hub: hub, backend: backend(hub.Unwrap()), state: logWaiting, since: now}
}

// look returns what is known now, and the status of the Hub that belongs to it.
// It asks the log if that is too long ago.
func (w *watch) look(ctx context.Context, of []cdc.WorkersOf) (logged, cdc.HubStatus) {
	if now := time.Now(); now.Sub(w.asked) >= askInterval {
		w.asked = now
		w.ask(ctx)
		w.lookAtWorkers(ctx, of)
	}
	now, hub := time.Now(), w.hub.Status()
	state, since, err := w.judge(now, hub)
	if state != w.state {
		w.state, w.since = state, since
	}
	l := logged{Backend: w.backend, State: w.state, Since: w.since.UTC(), Epoch: w.bounds.Epoch, Floor: w.bounds.Floor, Head: w.bounds.Head}
	if err != nil {
		l.Error = shortened(fmt.Sprint(err))
	}
	if !w.answered.IsZero() {
		l.Answered = new(w.answered.UTC())
	}
	if hub.End.Epoch == w.bounds.Epoch && hub.End.Seq > l.Head {
		l.Head = hub.End.Seq // it has grown since
	}
	if newest := w.appended(hub); !newest.IsZero() {
		l.Appended = new(newest.UTC())
	}
	if w.hubIsBehind(hub) {
		l.Behind = w.bounds.Head - hub.End.Seq
	}
	return l, hub
}

// ask asks the log through the Hub, which holds up nobody longer than ctx.
func (w *watch) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), askTimeout, fmt.Errorf("no answer within %v", askTimeout))
	defer cancel()
	end := w.hub.Status().End
	b, err := w.hub.Bounds(ctx)
	if err == nil {
		err = w.readNewest(ctx, b)
	}
	if err == nil {
		err = w.readBeyond(ctx, b, end)
	}
	if err != nil {
		if w.err = err; w.failed.IsZero() {
			w.failed = time.Now()
		}
		return
	}
	w.answered, w.failed, w.err, w.bounds = time.Now(), time.Time{}, nil, b
}

// readNewest reads the event at the head, unless it is known. Where the log has
// a hole there is none.
func (w *watch) readNewest(ctx context.Context, b cdc.Bounds) error {
	if b.Head == b.Floor || b.Epoch == w.bounds.Epoch && b.Head == w.bounds.Head || !w.hub.Status().Newest.IsZero() {
		return nil
	}
	page, err := w.hub.Read(ctx, cdc.Cursor{Epoch: b.Epoch, Seq: b.Head - 1}, 1)
	if len(page.Events) > 0 || b.Epoch != w.bounds.Epoch {
		w.newest = cdc.Event{}
	}
	if len(page.Events) > 0 { // at a hole the one before is still the newest
		w.newest = page.Events[0]
	}
	return unlessReset(err)
}

// readBeyond looks whether there are events that the Hub had not read when the
// log was asked: a head above the end of its tail may be a hole.
func (w *watch) readBeyond(ctx context.Context, b cdc.Bounds, end cdc.Cursor) error {
	w.beyond = cdc.Event{}
	if end.Epoch != b.Epoch || b.Head <= end.Seq {
		return nil
	}
	page, err := w.hub.Read(ctx, end, 1)
	if len(page.Events) > 0 {
		w.beyond = page.Events[0]
	}
	return unlessReset(err)
}

// unlessReset: a log that was trimmed or replaced meanwhile has answered.
func unlessReset(err error) error {
	if _, reset := errors.AsType[*cdc.ResetError](err); reset {
		return nil
	}
	return err
}

// hubIsBehind reports whether there are events that the Hub has not read yet.
func (w *watch) hubIsBehind(hub cdc.HubStatus) bool {
	return w.beyond.Seq > 0 && hub.End.Epoch == w.bounds.Epoch && hub.End.Seq < w.beyond.Seq
}

// appended is the time of the newest event that is known.
func (w *watch) appended(hub cdc.HubStatus) time.Time {
	if hub.Newest.Before(w.newest.Time) && hub.End.Epoch == w.bounds.Epoch {
		return w.newest.Time
	}
	return hub.Newest
}

// judge returns the state, since when, should it be new, and what is wrong.
func (w *watch) judge(now time.Time, hub cdc.HubStatus) (logState, time.Time, error) {
	ended := func(err error) bool { return errors.Is(err, cdc.ErrClosed) || errors.Is(err, cdc.ErrDeleted) }
	switch {
	case ended(hub.Failure):
		return logEnded, hub.Failing, hub.Failure
	case ended(w.err):
		return logEnded, w.failed, w.err
	case w.err != nil && w.answered.IsZero() && hub.End.Epoch == "":
		return logWaiting, w.since, w.err
	case w.err != nil:
		since := w.failed
		if !hub.Failing.IsZero() && hub.Failing.Before(since) && hub.Failing.After(w.answered) {
			since = hub.Failing // it was noticed before anybody looked
		}
		return logUnreachable, since, w.err
	case !hub.Failing.IsZero():
		return logUnfollowed, hub.Failing, hub.Failure
	case hub.End.Epoch == "":
		return logWaiting, w.since, nil
	}
	return logReachable, now, nil
}

// backend is what the log calls itself, or its type.
func backend(log cdc.Source) string {
	name := ""
	for log != nil {
		if s, ok := log.(fmt.Stringer); ok {
			return shortened(s.String())
		}
		name = strings.TrimPrefix(fmt.Sprintf("%T", log), "*")
		switch wrapper := log.(type) {
		case interface{ Unwrap() cdc.Log }:
			log = wrapper.Unwrap()
		case interface{ Unwrap() cdc.Source }:
			log = wrapper.Unwrap()
		default:
			log = nil
		}
	}
	return name
}
