package boltlog

import (
	"context"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// Subscribe returns a subscription that is woken by every commit of this Log's
// [Store], and by what another Store of the same DB commits within
// Options.PollInterval. It never carries events and never lags.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	s := &subscription{log: l}
	var err error
	if s.watch, err = l.store.watched(l); err == nil { //nolint:contextcheck // it outlives this call
		s.Subscription, err = l.live.Subscribe(ctx)
	}
	if err != nil {
		s.end()
		return nil, fmt.Errorf("bolt: subscribe: %w", err)
	}
	return s, nil
}

// source is what the live side looks at: the log without its Close.
type source struct{ log *Log }

func (s source) Bounds(ctx context.Context) (cdc.Bounds, error) { return s.log.Bounds(ctx) }

func (s source) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return s.log.Read(ctx, after, limit)
}
