package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Place keeps workers in three small tables of the database that their handlers
// write to, each with a transaction T. All methods may be called concurrently,
// by any number of processes. Use [Store.Place] or [NewPlace].
//
// The table of its name has the position of each worker, <name>_lease who works,
// <name>_parked the parked events; nobody else may write to them. A transaction
// of a handler locks the row of its worker only from the last statement to the
// commit. Beside the transaction the lease is renewed and the log is read, so
// the pool needs three connections.
type Place[T PlaceTx] struct {
	db      DB
	dialect *engine.Dialect
	names   engine.PlaceNames
	begin   func(ctx context.Context, opts *sql.TxOptions) (T, error)
	opts    PlaceOptions
	closed  func() bool
	sql     placeSQL
}

var _ cdc.Place[*sql.Tx] = (*Place[*sql.Tx])(nil)

// PlaceTx is a transaction that a handler can be given: a *sql.Tx, a *sqlx.Tx,
// a bun.Tx. The handler must not end it.
type PlaceTx interface {
	Tx
	// QueryContext is that of *sql.Tx.
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRowContext is that of *sql.Tx.
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	// Commit is that of *sql.Tx.
	Commit() error
	// Rollback is that of *sql.Tx.
	Rollback() error
}

// PlaceOptions of [Store.Place] and [NewPlace]. Nil means the defaults.
type PlaceOptions struct {
	// Dialect of the database; empty: the server is asked.
	Dialect Dialect

	// NoSchema keeps the tables from being created, for people with migration
	// tools (see [PlaceSchema]): if one is missing, it is an error then.
	NoSchema bool

	// Isolation of the handler's transaction. 0 is the default of the database.
	Isolation sql.IsolationLevel

	// MaxIdle is how long a handler may let its transaction wait between two
	// statements. Then the server ends it, so that an instance that is stopped
	// or unreachable keeps nothing locked: PostgreSQL by
	// idle_in_transaction_session_timeout for the transaction, MySQL and
	// MariaDB by wait_timeout for the session, in whole seconds, put back
	// afterwards. 0 means 4 s, the default term of a lease; negative leaves it to
	// the settings of the server. SQLite has nothing like it.
	MaxIdle time.Duration
}

// Place returns the place of that name in the database of the Store, for
// handlers that are given a *sql.Tx. The name is that of its first table,
// perhaps with a schema before a dot; what is missing is created. It must not be
// the name of a log. For another type of transaction use [NewPlace].
func (s *Store) Place(ctx context.Context, name string, opts *PlaceOptions) (*Place[*sql.Tx], error) {
	p, err := newPlace(ctx, s.db, s.dialect, s.db.BeginTx, name, opts)
	if err != nil {
		return nil, fmt.Errorf("sql: place %q: %w", name, err)
	}
	p.closed = s.isClosed
	return p, nil
}

// NewPlace is [Store.Place] for handlers that are given another transaction than
// a *sql.Tx: begin makes one of the same pool, as the method BeginTxx of a
// *sqlx.DB does:
//
//	place, err := sqllog.NewPlace(ctx, db, db.BeginTxx, "workers", nil)
func NewPlace[T PlaceTx](ctx context.Context, db DB, begin func(ctx context.Context, opts *sql.TxOptions) (T, error), name string, opts *PlaceOptions) (*Place[T], error) {
	dialect, err := dialectOf(ctx, db, opts.dialect())
	if err != nil {
		return nil, fmt.Errorf("sql: place %q: %w", name, err)
	}
	p, err := newPlace(ctx, db, dialect, begin, name, opts)
	if err != nil {
		return nil, fmt.Errorf("sql: place %q: %w", name, err)
	}
	return p, nil
}

func newPlace[T PlaceTx](ctx context.Context, db DB, d *engine.Dialect, begin func(context.Context, *sql.TxOptions) (T, error), name string, opts *PlaceOptions) (*Place[T], error) {
	p := &Place[T]{db: db, dialect: d, begin: begin, closed: func() bool { return false }}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Dialect != "" && string(p.opts.Dialect) != d.Name {
		return nil, fmt.Errorf("PlaceOptions.Dialect is %q, and the store's is %q: leave it empty", p.opts.Dialect, d.Name)
	}
	if p.opts.MaxIdle == 0 {
		p.opts.MaxIdle = 4 * time.Second
	}
	if n := db.Stats().MaxOpenConnections; !d.Local && (n == 1 || n == 2) {
		return nil, fmt.Errorf("the pool has %d connections, and a worker needs three: one for its transaction, one that renews its lease meanwhile, one that reads the log: raise SetMaxOpenConns", n)
	}
	var err error
	if p.names, err = engine.NewPlaceNames(d, name); err != nil {
		return nil, err
	}
	p.sql = newPlaceSQL(d, p.names)
	prepare := engine.EnsurePlace
	if p.opts.NoSchema {
		prepare = engine.VerifyPlace
	}
	problems, err := engine.Await(ctx, d, nil, func(ctx context.Context) (engine.Problems, error) { return prepare(ctx, db, d, p.names) })
	if len(problems) > 0 {
		return nil, errors.Join(err, &PlaceSchemaError{Place: name, Problems: problems})
	}
	return p, err
}

// PlaceSchema returns the statements that make the tables of a place, for
// migration tools. They can be run again.
func PlaceSchema(d Dialect, name string) (string, error) {
	dialect, err := named(d)
	if err != nil {
		return "", fmt.Errorf("sql: schema of a place: %w", err)
	}
	n, err := engine.NewPlaceNames(dialect, name)
	if err != nil {
		return "", fmt.Errorf("sql: schema of a place: %w", err)
	}
	return strings.Join(dialect.Placer.Statements(n), ";\n\n") + ";\n", nil
}

// dialect of the options, which may be nil.
func (o *PlaceOptions) dialect() Dialect {
	if o == nil {
		return ""
	}
	return o.Dialect
}

// handlerKey marks the context of a handler.
type handlerKey struct{}

// errInHandler refuses an append that would stay when the handler is rolled back.
var errInHandler = errors.New("this is called by a handler, and is no part of its transaction, so it would stay when that is rolled back, and come again: append with AppendTx and the handler's transaction, or in Prepare")

// insideHandler reports whether ctx is that of a handler.
func insideHandler(ctx context.Context) bool { return ctx.Value(handlerKey{}) != nil }
