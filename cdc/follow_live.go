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
		case errors.Is(err, errIdle):
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
