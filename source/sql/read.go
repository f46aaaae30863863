package sqllog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Read implements [cdc.Source].
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return l.read(ctx, engine.Ask{After: after, Limit: max(limit, 1)})
}

// ReadFiltered implements [cdc.FilterReader]: at most 100 exact topics in a log
// with our own schema are found by an index. Every other filter is declined.
func (l *Log) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	topics, ok := engine.TopicsOf(f)
	if !ok || !l.engine.ReadsTopics() {
		return cdc.Page{}, errDeclined
	}
	page, err := l.read(ctx, engine.Ask{After: after, Limit: max(limit, 1), Topics: topics})
	page.Events = f.Select(page.Events)
	return page, err
}

var errDeclined = fmt.Errorf("sql: the index serves up to %d exact topics of a log with its own schema: %w", engine.MaxTopics, errors.ErrUnsupported)

func (l *Log) read(ctx context.Context, a engine.Ask) (cdc.Page, error) {
	page, err := call(ctx, l, func(ctx context.Context) (cdc.Page, error) {
		return engine.RetryCut(ctx, func(ctx context.Context) (cdc.Page, error) { return l.engine.Read(ctx, a) })
	})
	if err != nil {
		return cdc.Page{}, fmt.Errorf("sql: read: %w", l.explain(err))
	}
	return page, nil
}

// Bounds implements [cdc.Source].
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	b, err := call(ctx, l, func(ctx context.Context) (cdc.Bounds, error) { return engine.RetryCut(ctx, l.engine.Bounds) })
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("sql: bounds: %w", l.explain(err))
	}
	return b, nil
}

// explain says what to do about an error of a read; one that Close has caused is
// [cdc.ErrClosed], whatever the pool calls it.
func (l *Log) explain(err error) error {
	if l.feeds.IsClosed() {
		return cdc.ErrClosed
	}
	return explain(l.settings, err)
}
