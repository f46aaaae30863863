package gaplesswatermill

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
)

// errNacked makes the worker try again.
var errNacked = errors.New("the message was nacked")

// deliver returns nil when the event's message was acked.
func deliver(ctx context.Context, e cdc.Event, out chan<- *message.Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	msg := messageOf(e)
	msg.SetContext(ctx)
	select {
	case out <- msg:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-msg.Acked():
		return nil
	case <-msg.Nacked():
		return errNacked
	case <-ctx.Done():
	}
	select {
	case <-msg.Acked(): // before ctx ended, perhaps
		return nil
	default:
		return context.Cause(ctx)
	}
}

// finishing is a place in which what was acked is stored though the subscription
// has ended meanwhile. Whether it still may be, the revision decides.
type finishing[T any] struct {
	cdc.Place[T]
	limit time.Duration
}

// Apply implements [cdc.Place].
func (p finishing[T]) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.limit)
	defer cancel()
	return p.Place.Apply(ctx, worker, revision, fn)
}
