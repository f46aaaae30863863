package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Tx runs statements: a transaction, a connection or a pool.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Querier asks the database.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Session is a transaction or a connection.
type Session interface {
	Tx
	Querier
}

// DB is a pool of connections.
type DB interface {
	Session
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	Conn(ctx context.Context) (*sql.Conn, error)
	Stats() sql.DBStats
}

// ReadCommitted runs fn in a transaction of which each statement sees what was
// committed before it, whatever isolation is the default. A commit that has begun
// is seen through when ctx ends, so that its outcome is known: some drivers would
// give up the connection, and the server might go on.
func ReadCommitted(ctx context.Context, db DB, fn func(tx Session) error) (err error) {
	defer func() { err = because(ctx, err) }()
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	tx, err := db.BeginTx(own, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return commit(tx)
}

// commit ends a transaction. If the reply was lost, nobody can tell whether it
// happened.
func commit(tx *sql.Tx) error {
	err := tx.Commit()
	if err == nil || errors.Is(err, sql.ErrTxDone) || IsAnswer(err) { // the server says that it refused
		return err
	}
	return fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
}

// ExecAll runs the statements one by one.
func ExecAll(ctx context.Context, tx Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.60s…: %w", statement, err)
		}
	}
	return nil
}

// AskVersion is for a Probe: it wants the version that the query returns to begin
// with one of the prefixes.
func AskVersion(ctx context.Context, q Querier, query string, prefixes ...string) error {
	var version string
	if err := q.QueryRowContext(ctx, query).Scan(&version); err != nil {
		return err
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(version, prefix) {
			return nil
		}
	}
	return fmt.Errorf("%s: the database answers %.60q", query, version)
}

// List returns the only column of a query.
func List[T any](ctx context.Context, q Querier, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	var list []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}
