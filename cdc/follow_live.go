package cdc

import (
	"context"
	"errors"
	"time"
)

// live delivers what the subscription brings until something ends the stream.
func (f *follower) live() error {
	for {
		events, err := f.next()
		switch {
		case f.ctx.Err() != nil:
			return context.Cause(f.ctx)
		case err == nil && len(events) > 0:
			err = f.deliverLive(events)
		case err == nil:
			err = f.readAll(noEnd)
		case errors.Is(err, errBeat):
			err = f.emit(nil)
		case errors.Is(err, ErrLagged):
			err = f.catchUp()
		default:
			if err = f.resubscribe(err); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		f.unbroken()
	}
}

// deliverLive delivers those of the events that are above the position. The
// others were replayed, unless the log went back and grew again under its
// subscription, which may hold events of both histories: where the tag of the
// position does not show that it did not, the source is read.
func (f *follower) deliverLive(events []Event) error {
	first := 0
	for first < len(events) && events[first].Seq <= f.pos.Seq {
		first++
	}
	if first > 0 {
		if last := events[first-1]; last.Seq != f.pos.Seq || last.Tag() != f.pos.Tag {
			return f.readAll(noEnd)
		}
	}
	if first == len(events) {
		return nil
	}
	last := events[len(events)-1]
	page := Page{Events: events[first:], Next: last.Seq}
	if page.check(f.pos.Seq) != nil { // of two histories
		return f.readAll(noEnd)
	}
	return f.advance(Cursor{Epoch: f.pos.Epoch, Seq: last.Seq, Tag: f.tagOf(last)}, page.Events)
}

// tagger is a subscription that may know the tag of the last event that Next
// returned: the Hub's, which makes it once for all followers.
type tagger interface{ lastTag() string }

func (f *follower) tagOf(last Event) string {
	if s, ok := f.sub.(tagger); ok {
		if tag := s.lastTag(); tag != "" {
			return tag
		}
	}
	return last.Tag()
}

const noEnd = ^uint64(0)

// catchUp replays after a lag. The subscription holds events again, so it will
// return what the bounds do not show yet. catchUp reads also at the head: a log
// that went back and grew again to there has the same bounds, and the events
// that would have shown it were dropped.
func (f *follower) catchUp() error {
	b, err := await(f, f.log.Bounds)
	if err != nil {
		return err
	}
	return f.replay(b.Head)
}

// errBeat is returned by next when the heartbeat is due.
var errBeat = errors.New("cdc: heartbeat due")

// next waits for the subscription, but not past the next heartbeat: ending the
// context of Next consumes nothing. A final error that comes at the same time
// is returned. So that it cannot be taken for the end of the context, that is
// a cancellation and no deadline, of which the log may have its own.
func (f *follower) next() ([]Event, error) {
	ctx := f.wait.begin(f.ctx, time.Until(f.lastBeat.Add(f.opts.Heartbeat)))
	events, err := f.sub.Next(ctx)
	f.wait.end()
	if err != nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil, errBeat // or f.ctx has ended
	}
	return events, err
}

// beatWait is the context of next. One serves until a heartbeat has ended it:
// making one costs more than delivering an event.
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

// close frees what the context holds.
func (w *beatWait) close() {
	if w.ctx != nil {
		w.cancel(nil)
	}
}

// maxRenewals is how often in a row a subscription may break without having
// delivered anything before the stream ends with its error.
const maxRenewals = 5

// resubscribe goes on with a new subscription after one that ended with cause,
// unless that happens too often in a row. One that lasted until a heartbeat, or
// with which something was delivered, does not count.
func (f *follower) resubscribe(cause error) error {
	if time.Since(f.lastBeat) >= f.opts.Heartbeat {
		if err := f.emit(nil); err != nil {
			return err
		}
		f.unbroken()
	}
	if f.breaks++; f.breaks > maxRenewals {
		return cause
	}
	at := f.pos.Seq
	err := f.renew(cause)
	if f.pos.Seq > at {
		f.unbroken()
	}
	return err
}

// unbroken is called when a subscription has worked.
func (f *follower) unbroken() {
	f.breaks = 0
	f.retry.Reset()
}

// renew replaces a subscription that ended with cause, and reads what came in
// between. A reset that names the epoch the stream is in already is only that.
func (f *follower) renew(cause error) error {
	if reset, ok := errors.AsType[*ResetError](cause); ok {
		b, err := await(f, f.log.Bounds)
		if err != nil {
			return err
		}
		if b.Epoch != f.pos.Epoch || reset.Reason != ReasonEpochChanged {
			return cause
		}
	}
	if permanent(cause) {
		return cause // the log or the hub was closed; nobody else closes f.sub
	}
	if f.breaks > 1 {
		if err := f.pause(f.retry.Next()); err != nil {
			return err
		}
	}
	_ = f.sub.Close()
	if err := f.subscribe(); err != nil {
		return err
	}
	return f.readAll(noEnd)
}

func (f *follower) subscribe() error {
	var granted Subscription
	_, err := await(f, func(ctx context.Context) (struct{}, error) {
		sub, err := f.log.Subscribe(ctx)
		granted = sub
		return struct{}{}, err
	})
	if err == nil {
		f.sub = granted
		return nil
	}
	if granted != nil { // after the consumer had left
		_ = granted.Close()
	}
	return err
}
