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
// *sqlx.Tx, *sql.Conn and bun.Tx have it, and so has a gorm.DB's
// Statement.ConnPool; for pgx see [Pgx]. What embeds a *sql.Tx is used through
// that.
type Tx interface {
	// ExecContext runs a statement in the transaction.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// embedded returns the *sql.Tx that tx embeds, since a bun.Tx formats the text of
// statements and leaves their arguments out; nil if there is none.
func embedded(tx any) *sql.Tx {
	v := reflect.Indirect(reflect.ValueOf(tx))
	if v.Kind() != reflect.Struct {
		return nil
	}
	field, ok := v.Type().FieldByName("Tx")
	if !ok || !field.Anonymous || len(field.Index) != 1 || field.Type != reflect.TypeFor[*sql.Tx]() {
		return nil
	}
	own, _ := v.FieldByIndex(field.Index).Interface().(*sql.Tx)
	return own
}

// Pgx makes a [Tx] of a pgx.Tx, or of another connection of pgx:
//
//	err := log.AppendTx(ctx, sqllog.Pgx(tx), event)
func Pgx[R any](tx interface {
	Exec(ctx context.Context, query string, args ...any) (R, error)
},
) Tx {
	return pgxTx[R]{tx.Exec}
}

type pgxTx[R any] struct {
	exec func(ctx context.Context, query string, args ...any) (R, error)
}

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
