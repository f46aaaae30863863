package sqllog

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// Tx is the part of the caller's transaction that AppendTx needs: *sql.Tx,
// *sqlx.Tx and *sql.Conn have it.
type Tx interface {
	// ExecContext runs a statement in the transaction.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// engine is what differs between dialects and modes. Its errors are not yet
// wrapped for the user.
type engine interface {
	// peek reads the state and changes nothing.
	peek(ctx context.Context) (state, error)
	// settle gives every event that was committed before the call its place
	// and returns the bounds then.
	settle(ctx context.Context) (cdc.Bounds, error)
	// poll is what the feed calls again and again: settle without waiting for
	// others who are doing it, in the cheapest form. busy says that more may
	// come soon without a commit that the feed could see.
	poll(ctx context.Context) (b cdc.Bounds, busy bool, err error)
	read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error)
	append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error)
	appendTx(ctx context.Context, tx Tx, events []cdc.Event) error
	// trim removes at most trimBatch events at or below seq; more says that
	// there may be others.
	trim(ctx context.Context, seq uint64) (removed int, more bool, err error)
	renew(ctx context.Context) (epoch string, err error)
	close() error
}

// trimBatch is how many events one transaction of Trim removes.
const trimBatch = 1000

// Log is an event log in a SQL database. All methods may be called
// concurrently.
type Log struct {
	db       *sqlx.DB
	settings settings
	engine   engine
	feed     *feeds
	once     sync.Once
	closeErr error
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)
)

// Open returns the log in the database, which stays the caller's: Close does
// not close it. Missing tables and triggers are created unless
// Options.NoSchema is set; a database that differs from what the log needs is
// a [*SchemaError]. Open needs the server; without it the error is the
// driver's.
func Open(ctx context.Context, db *sqlx.DB, o *Options) (*Log, error) {
	s, err := o.settle(db.DriverName())
	if err != nil {
		return nil, fmt.Errorf("sql: open: %w", err)
	}
	if s.NoSchema {
		err = verify(ctx, db, s)
	} else {
		err = ensureSchema(ctx, db, s)
	}
	if err != nil {
		return nil, fmt.Errorf("sql: open: %w", explain(s, err))
	}
	l := &Log{db: db, settings: s}
	if l.engine, err = newEngine(ctx, db, s); err == nil {
		_, err = l.engine.peek(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("sql: open: %w", explain(s, err))
	}
	l.feed = newFeeds(db, l.engine, s)
	return l, nil
}

func newEngine(ctx context.Context, db *sqlx.DB, s settings) (engine, error) {
	switch s.Mode {
	case SingleWriter:
		return newSQLite(db, s), nil
	case Fence:
		return newFencer(ctx, db, s)
	case AtCommit:
		return newAtCommit(ctx, db, s)
	}
	q := newSequencer(db, s)
	if s.Dialect == Postgres {
		err := db.QueryRowContext(ctx, "SELECT current_setting('transaction_isolation') <> 'read committed'").Scan(&q.strict)
		return q, err
	}
	return q, nil
}

// Read implements [cdc.Source].
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if l.feed.isClosed() {
		return cdc.Page{}, fmt.Errorf("sql: read: %w", cdc.ErrClosed)
	}
	page, err := retryCut(ctx, func(ctx context.Context) (cdc.Page, error) { return l.engine.read(ctx, after, max(limit, 1)) })
	if err != nil {
		return cdc.Page{}, fmt.Errorf("sql: read: %w", l.explain(err))
	}
	return page, nil
}

// Bounds implements [cdc.Source].
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if l.feed.isClosed() {
		return cdc.Bounds{}, fmt.Errorf("sql: bounds: %w", cdc.ErrClosed)
	}
	b, err := retryCut(ctx, l.engine.settle)
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("sql: bounds: %w", l.explain(err))
	}
	return b, nil
}

// explain says what to do about an error of a read; one that Close has caused is
// [cdc.ErrClosed], whatever the pool calls it.
func (l *Log) explain(err error) error {
	if l.feed.isClosed() {
		return cdc.ErrClosed
	}
	return explain(l.settings, err)
}

// Append implements [cdc.Appender] in a transaction of its own. Use
// [Log.AppendTx] to append in the transaction of the change that the events
// describe.
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	if l.feed.isClosed() {
		return cdc.Receipt{}, fmt.Errorf("sql: append: %w", cdc.ErrClosed)
	}
	if err := l.check(events); err != nil {
		return cdc.Receipt{}, fmt.Errorf("sql: append: %w", err)
	}
	receipt, err := retryCut(ctx, func(ctx context.Context) (cdc.Receipt, error) { return l.engine.append(ctx, events) })
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("sql: append: %w", explain(l.settings, err))
	}
	l.feed.kick()
	return receipt, nil
}

// AppendTx adds the events in the caller's transaction: they exist if it
// commits and only then. Their seqs are not known before that, so there is no
// receipt. An event whose ID the log already holds, or that an earlier event of
// the same transaction has, is dropped when it is numbered. Call it after the
// row changes that the events describe: the row locks then make the order of
// events that of the changes.
func (l *Log) AppendTx(ctx context.Context, tx Tx, events ...cdc.Event) error {
	if l.feed.isClosed() {
		return fmt.Errorf("sql: append: %w", cdc.ErrClosed)
	}
	if err := l.check(events); err != nil {
		return fmt.Errorf("sql: append: %w", err)
	}
	if err := l.engine.appendTx(ctx, tx, events); err != nil {
		return fmt.Errorf("sql: append: %w", explain(l.settings, err))
	}
	return nil
}

// maxIDBytes fits into the unique index of every dialect.
const maxIDBytes = 512

func (l *Log) check(events []cdc.Event) error {
	if err := cdc.CheckAppend(events, l.settings.MaxEventBytes); err != nil {
		return err
	}
	for i, e := range events {
		if len(e.ID) > maxIDBytes {
			return &cdc.InvalidEventError{Index: i, Field: "ID", Problem: fmt.Sprintf("is %d bytes long, an index of the database takes %d: use a hash of it", len(e.ID), maxIDBytes)}
		}
		for _, f := range l.settings.columns.missing(e) {
			return &cdc.InvalidEventError{Index: i, Field: f, Problem: "is set, but Options.Columns names no column for it"}
		}
	}
	return nil
}

// missing are the fields of e that no column can hold.
func (c Columns) missing(e cdc.Event) []string {
	var fields []string
	for _, f := range [...]struct {
		name, column string
		set          bool
	}{
		{"ID", c.ID, e.ID != ""},
		{"Topic", c.Topic, e.Topic != ""},
		{"Type", c.Type, e.Type != ""},
		{"Key", c.Key, e.Key != ""},
		{"Data", c.Data, len(e.Data) > 0},
		{"Meta", c.Meta, len(e.Meta) > 0},
	} {
		if f.set && f.column == "" {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// Trim implements [cdc.Trimmer].
func (l *Log) Trim(ctx context.Context, seq uint64) (removed int, err error) {
	if l.feed.isClosed() {
		return 0, fmt.Errorf("sql: trim: %w", cdc.ErrClosed)
	}
	for {
		n, more, err := l.engine.trim(ctx, clampSeq(seq))
		removed += n
		if err != nil {
			return removed, fmt.Errorf("sql: trim: %w", explain(l.settings, err))
		}
		if !more {
			return removed, nil
		}
	}
}

// Renew implements [cdc.Renewer]. Call it once after a restore from a backup,
// before anything is appended.
func (l *Log) Renew(ctx context.Context) (epoch string, err error) {
	if l.feed.isClosed() {
		return "", fmt.Errorf("sql: renew: %w", cdc.ErrClosed)
	}
	if epoch, err = l.engine.renew(ctx); err != nil {
		return "", fmt.Errorf("sql: renew: %w", explain(l.settings, err))
	}
	l.feed.kick()
	return epoch, nil
}

// Subscribe implements [cdc.Subscriber]. A subscription ends with the first
// error of the database; subscribe again and read.
func (l *Log) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	s, err := l.feed.subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("sql: subscribe: %w", explain(l.settings, err))
	}
	return s, nil
}

// Close ends every subscription and frees what the log holds of the database,
// which stays open.
func (l *Log) Close() error {
	l.once.Do(func() {
		l.feed.close()
		if err := l.engine.close(); err != nil {
			l.closeErr = fmt.Errorf("sql: close: %w", err)
		}
	})
	return l.closeErr
}

// clampSeq keeps a seq within the databases' signed 64 bits.
func clampSeq(seq uint64) uint64 { return min(seq, 1<<63-1) }
