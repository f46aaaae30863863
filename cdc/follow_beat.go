package cdc

import (
	"context"
	"errors"
	"time"
)

// errBeat is returned by next when the heartbeat is due.
var errBeat = errors.New("cdc: heartbeat due")

// beater is a subscription that can wait for the heartbeat too: the Hub's. So
// a follower of a Hub needs no context of its own for that.
type beater interface {
	// nextOrBeat is Next, or returns errBeat when beat is ready, and has then
	// consumed nothing of the log.
	nextOrBeat(ctx context.Context, beat <-chan time.Time) ([]Event, error)

	// nextOrIdle is Next, or returns errIdle instead of waiting.
	nextOrIdle(ctx context.Context) ([]Event, error)
}

// next waits for the subscription, but not past the next heartbeat.
func (f *follower) next() ([]Event, error) {
	if s, ok := f.sub.(beater); ok {
		if f.idles {
			return f.nextOrIdle(s)
		}
		return f.nextOrBeat(s)
	}
	return f.nextWithin(f.untilBeat())
}

func (f *follower) untilBeat() time.Duration { return time.Until(f.lastBeat.Add(f.opts.Heartbeat)) }

func (f *follower) nextOrIdle(s beater) ([]Event, error) {
	events, err := s.nextOrIdle(f.ctx)
	if err == errIdle && f.untilBeat() <= 0 { //nolint:errorlint // it is never wrapped
		return nil, errBeat
	}
	return events, err
}

// nextOrBeat leaves the timer alone while events come, and sets it anew when
// it fires too early: setting a timer costs more than to look at it now and then.
func (f *follower) nextOrBeat(s beater) ([]Event, error) {
	if f.beat == nil {
		f.beat = time.NewTimer(f.untilBeat())
	}
	for {
		events, err := s.nextOrBeat(f.ctx, f.beat.C)
		if err != errBeat { //nolint:errorlint // it is never wrapped
			return events, err
		}
		rest := f.untilBeat()
		if rest <= 0 {
			f.beat.Reset(f.opts.Heartbeat)
			return nil, errBeat
		}
		f.beat.Reset(rest)
	}
}

// nextWithin waits with a context: ending that of Next consumes nothing. A
// final error that comes at the same time is returned. So that it cannot be
// taken for the end of the context, that is a cancellation and no deadline, of
// which the log may have its own.
func (f *follower) nextWithin(d time.Duration) ([]Event, error) {
	ctx := f.wait.begin(f.ctx, d)
	events, err := f.sub.Next(ctx)
	f.wait.end()
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil, errBeat // or f.ctx has ended
	}
	return events, err
}

// beatWait is the context of nextWithin. One serves until a heartbeat has ended
// it: making one costs more than delivering an event.
type beatWait struct {
	ctx    context.Context // nil: there is none
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (w *beatWait) begin(parent context.Context, d time.Duration) context.Context {
	if w.ctx != nil {
		w.timer.Reset(d)
		return w.ctx
	}
	ctx, cancel := context.WithCancelCause(parent)
	w.ctx, w.cancel = ctx, cancel
	w.timer = time.AfterFunc(d, func() { cancel(errBeat) })
	return ctx
}

func (w *beatWait) end() {
	if !w.timer.Stop() { // it ends the context, or has
		w.ctx = nil
	}
}

// endBeats frees what the waits held.
func (f *follower) endBeats() {
	f.wait.close()
	if f.beat != nil {
		f.beat.Stop()
	}
}

// close frees what the context holds.
func (w *beatWait) close() {
	if w.ctx != nil {
		w.cancel(nil)
	}
}
