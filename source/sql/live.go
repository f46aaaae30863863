package sqllog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Subscribe implements [cdc.Subscriber]. A subscription ends with the first
// error of the database; subscribe again and read.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	s, err := l.feeds.Subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("sql: subscribe: %w", explain(l.settings, err))
	}
	return &subscription{s, l.settings}, nil
}

// subscription implements [cdc.Subscription].
type subscription struct {
	*engine.Subscription
	settings engine.Settings
}

// Next says what to do about an error of the database.
func (s *subscription) Next(ctx context.Context) ([]cdc.Event, error) {
	events, err := s.Subscription.Next(ctx)
	if failed, ok := errors.AsType[*engine.FeedError](err); ok {
		err = fmt.Errorf("sql: subscription ended, subscribe again and read: %w", explain(s.settings, failed.Err))
	}
	return events, err
}
