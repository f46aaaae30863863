package broken

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// live delivers what the subscription brings.
func (f *follower) live() error {
	for {
		ctx, cancel := context.WithDeadline(f.ctx, f.beat.Add(f.opts.Heartbeat))
		events, err := f.sub.Next(ctx)
		late := ctx.Err() != nil
		cancel()
		switch {
		case f.ctx.Err() != nil:
			return context.Cause(f.ctx)
		case err == nil && len(events) > 0:
			err = f.deliverLive(events)
		case err == nil:
			err = f.readAll()
		case errors.Is(err, cdc.ErrLagged):
			err = f.lag(err)
		case late && (f.bug == HeartbeatDropsFinal || errors.Is(err, context.DeadlineExceeded)):
			err = nil
			if f.beat = time.Now(); f.bug != NoHeartbeatLive {
				err = f.emit(nil, f.pos)
			}
		default:
			err = f.renew(err)
		}
		if err != nil {
			return err
		}
	}
}

func (f *follower) deliverLive(events []cdc.Event) error {
	first := 0
	for first < len(events) && f.seen(events[first].Seq) {
		first++
	}
	if first > 0 && !f.same(events[first-1]) || !ascending(events) {
		return f.readAll() // the log went back: the tag tells
	}
	if first == len(events) {
		return nil
	}
	return f.deliver(cdc.Page{Events: events[first:], Next: max(f.pos.Seq, lastSeq(events))})
}

func (f *follower) seen(seq uint64) bool {
	switch f.bug {
	case NoDedupe:
		return false
	case DedupeLess:
		return seq < f.pos.Seq
	}
	return seq <= f.pos.Seq
}

// same reports whether what comes again is what was delivered.
func (f *follower) same(e cdc.Event) bool {
	return f.bug == AgainIsReplayed || e.Seq == f.pos.Seq && e.Tag() == f.pos.Tag
}

func ascending(events []cdc.Event) bool {
	return slices.IsSortedFunc(events, func(a, b cdc.Event) int { return cmp.Compare(a.Seq, b.Seq) })
}

// tag is that of the event at seq, which is the last.
func (f *follower) tag(events []cdc.Event, seq uint64) string {
	if f.bug == PositionUntagged || lastSeq(events) != seq || seq == 0 {
		return ""
	}
	return events[len(events)-1].Tag()
}

func (f *follower) lag(err error) error {
	switch f.bug {
	case NoReplayAfterLag:
		return nil
	case LagEndsSilently:
		return err
	case ResyncFromHead:
		b, err := f.log.Bounds(f.ctx)
		if err != nil {
			return err
		}
		f.pos = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
	case LagAtHeadIgnored:
		b, err := f.log.Bounds(f.ctx)
		if err != nil {
			return err
		}
		if b.Head <= f.pos.Seq {
			return f.emit(nil, f.pos)
		}
	}
	return f.replay()
}

// renew subscribes again after the subscription broke.
func (f *follower) renew(cause error) error {
	if _, reset := errors.AsType[*cdc.ResetError](cause); errors.Is(cause, cdc.ErrClosed) || reset && f.bug != EpochFollowed {
		return cause
	}
	_ = f.sub.Close()
	if err := f.subscribe(); err != nil {
		return err
	}
	if f.breaks(cause) {
		return cause
	}
	if f.bug == NotReadAfterBreak {
		return nil
	}
	return f.readAll()
}

// breaks looks whether the new subscription is broken too.
func (f *follower) breaks(cause error) bool {
	_, err := f.sub.Next(expired())
	return errors.Is(err, cause)
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
