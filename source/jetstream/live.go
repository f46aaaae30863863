package jetstreamlog

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/gapless-go/gapless/cdc"
)

// Subscribe implements [cdc.Subscriber]. Its subscriptions carry no events: they
// say that there are some. The server announces each event; since it does so at
// most once, they also look every second.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return call(ctx, &l.handle, "subscribe", func(ctx context.Context) (cdc.Subscription, error) {
		if err := l.hear(ctx); err != nil {
			return nil, err
		}
		return l.live.Subscribe(ctx)
	})
}

// hear returns when the server knows that this process wants the announcements.
func (l *Log) hear(ctx context.Context) error {
	l.hearing.Lock()
	defer l.hearing.Unlock()
	if l.wakeups != nil {
		return nil
	}
	if l.ctx.Err() != nil {
		return cdc.ErrClosed
	}
	sub, err := l.conn.Subscribe(liveSubject(l.name), func(*nats.Msg) { l.live.Notify() })
	if err != nil {
		return err
	}
	_, err = attempt(ctx, l.timeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.conn.FlushWithContext(ctx)
	})
	if err != nil {
		_ = sub.Unsubscribe()
		return err
	}
	l.wakeups = sub
	return nil
}

// source is what the live side looks at: a handle without its Close.
type source struct{ h *handle }

func (s source) Bounds(ctx context.Context) (cdc.Bounds, error) { return s.h.Bounds(ctx) }

func (s source) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return s.h.Read(ctx, after, limit)
}
