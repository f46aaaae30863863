package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
)

// DB is a pool of connections: *sql.DB has these methods, and so has *sqlx.DB.
// A mapper gives its pool: bun's db.DB, gorm's db.DB().
type DB interface {
	Tx
	// QueryContext is that of *sql.DB.
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRowContext is that of *sql.DB.
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	// PrepareContext is that of *sql.DB.
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	// BeginTx is that of *sql.DB.
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	// Conn is that of *sql.DB.
	Conn(ctx context.Context) (*sql.Conn, error)
	// Stats is that of *sql.DB.
	Stats() sql.DBStats
}

// Tx is the part of the caller's transaction that AppendTx needs. *sql.Tx,
// *sqlx.Tx and bun.Tx have it, and so has a gorm.DB's Statement.ConnPool; for pgx
// see [Pgx]. A connection on which the caller has begun a transaction by a
// statement (*sql.Conn, bun.Conn) serves as well. A pool is refused, since its
// statements are part of no transaction. What embeds a *sql.Tx or a *sql.Conn is
// used through that.
type Tx interface {
	// ExecContext runs a statement in the transaction.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// errPool refuses an append that would stay when the caller rolls back.
var errPool = errors.New("this is a pool, whose statements are part of no transaction: give the transaction that the pool has begun, or use Append")

// isPool reports whether statements of tx run on any connection.
func isPool(tx Tx) bool {
	switch v := tx.(type) {
	case interface{ Commit() error }:
		return false
	case interface{ Stats() sql.DBStats }: // what embeds a *sql.DB, too
		return true
	case interface{ GetDBConn() (*sql.DB, error) }: // that of gorm, if it prepares statements
		return true
	case interface{ isPool() bool }:
		return v.isPool()
	}
	return false
}

// embeddedTx returns the *sql.Tx that tx embeds; nil if there is none.
func embeddedTx(tx any) *sql.Tx { return embedded[*sql.Tx](tx, "Tx") }

// embedded returns the session that tx embeds in a field of that name, since a
// bun.Tx formats the text of statements and leaves their arguments out; nil if
// there is none.
func embedded[S comparable](tx any, name string) (session S) {
	v := reflect.Indirect(reflect.ValueOf(tx))
	if v.Kind() != reflect.Struct {
		return session
	}
	field, ok := v.Type().FieldByName(name)
	if !ok || !field.Anonymous || len(field.Index) != 1 || field.Type != reflect.TypeFor[S]() {
		return session
	}
	session, _ = v.FieldByIndex(field.Index).Interface().(S)
	return session
}

// plain returns what runs the statements of the transaction as they are.
func plain(tx Tx) (Tx, error) {
	if isPool(tx) {
		return nil, errPool
	}
	if own := embeddedTx(tx); own != nil {
		return own, nil
	}
	if own := embedded[*sql.Conn](tx, "Conn"); own != nil {
		return own, nil
	}
	return tx, nil
}

// Pgx makes a [Tx] of a pgx.Tx, or of another connection of pgx:
//
//	err := log.AppendTx(ctx, sqllog.Pgx(tx), event)
func Pgx[R any](tx interface {
	Exec(ctx context.Context, query string, args ...any) (R, error)
},
) Tx {
	_, pool := tx.(interface { // a *pgxpool.Pool
		Close()
		Reset()
	})
	return pgxTx[R]{tx.Exec, pool}
}

type pgxTx[R any] struct {
	exec func(ctx context.Context, query string, args ...any) (R, error)
	pool bool
}

func (t pgxTx[R]) isPool() bool { return t.pool }

func (t pgxTx[R]) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := t.exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgxResult{tag}, nil
}

// pgxResult is a pgconn.CommandTag.
type pgxResult struct{ tag any }

func (pgxResult) LastInsertId() (int64, error) {
	return 0, errors.New("PostgreSQL has no last insert ID")
}

func (r pgxResult) RowsAffected() (int64, error) {
	if tag, ok := r.tag.(interface{ RowsAffected() int64 }); ok {
		return tag.RowsAffected(), nil
	}
	return 0, errors.New("the result does not say how many rows were affected")
}
