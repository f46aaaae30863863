package sqllog

import (
	"context"
	"fmt"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Log is an event log in a SQL database. All methods may be called
// concurrently. Use [Open], or [Store.Open] where there are several.
//
// A call returns soon after its ctx has ended, and with [cdc.ErrClosed] soon
// after Close, also where the driver waits on a connection that is half-open.
// Only AppendTx takes as long as the driver does.
type Log struct {
	store         *Store
	alone         bool // the store is this log's own
	settings      engine.Settings
	maxEventBytes int
	engine        engine.Engine
	feeds         *engine.Feeds

	once     sync.Once
	closeErr error
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)

	_ cdc.FilterReader = (*Log)(nil)
)

// Open returns the log of that name in the database, which stays the caller's:
// Close does not close it. The name is that of the log's table, perhaps with a
// schema before a dot; the names of our other tables begin with it. Missing
// tables and triggers are created unless Options.NoSchema is set; a database
// that differs from what the log needs is a [*SchemaError]. Open needs the
// server; without it the error is the driver's.
func Open(ctx context.Context, db DB, name string, opts *Options) (*Log, error) {
	s, err := newStore(ctx, db, opts.dialect())
	if err != nil {
		return nil, fmt.Errorf("sql: open %q: %w", name, err)
	}
	l, err := s.Open(ctx, name, opts)
	if err != nil {
		_ = s.Close() // only frees it
		return nil, err
	}
	l.alone = true
	return l, nil
}

// String names the dialect and the log's table, as in "<dialect> <table>".
func (l *Log) String() string { return l.settings.Dialect.Name + " " + l.settings.Name }

// Close ends every subscription and every call that is waiting, and frees what
// the log holds of the database, which stays open. It is idempotent.
func (l *Log) Close() error {
	l.once.Do(func() {
		l.feeds.Close()
		l.store.remove(l)
		err := l.engine.Close()
		if l.alone && err == nil {
			err = l.store.host.Close()
		}
		if err != nil {
			l.closeErr = fmt.Errorf("sql: close: %w", err)
		}
	})
	return l.closeErr
}

// none is the result of a call that has none.
type none struct{}

// call runs f, unless the log is closed, and gives it up soon after ctx has ended
// or the log was closed.
func call[T any](ctx context.Context, l *Log, f func(ctx context.Context) (T, error)) (v T, err error) {
	if l.feeds.IsClosed() {
		return v, cdc.ErrClosed
	}
	return engine.Await(ctx, l.settings.Dialect, l.feeds.Closed(), f)
}
