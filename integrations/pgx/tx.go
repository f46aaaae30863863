package gaplesspgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// placeTx is a transaction of pgx on a connection that database/sql has lent: the
// place begins with queries by that, and writes by the transaction.
type placeTx struct {
	*sql.Conn
	pgx pgx.Tx
}

var _ sqllog.PlaceTx = placeTx{}

func (p *Place) begin(ctx context.Context, opts *sql.TxOptions) (placeTx, error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return placeTx{}, err
	}
	t := placeTx{Conn: conn}
	err = conn.Raw(func(driver any) error {
		own, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver of the pool has connections of type %T", driver)
		}
		t.pgx, err = own.Conn().BeginTx(ctx, pgx.TxOptions{IsoLevel: level(opts.Isolation)})
		return err
	})
	if err != nil {
		return placeTx{}, errors.Join(err, conn.Close())
	}
	return t, nil
}

// level is empty for the default of the database.
func level(l sql.IsolationLevel) pgx.TxIsoLevel {
	if l == sql.LevelDefault {
		return ""
	}
	return pgx.TxIsoLevel(strings.ToLower(l.String()))
}

// use runs f while the connection is still lent. When a query of database/sql
// has failed for good, the pool has it back, and may have closed it.
func (t placeTx) use(f func() error) error {
	return t.Raw(func(any) error { return f() })
}

// ExecContext refuses what would be outside of the transaction, because the
// handler has ended that.
func (t placeTx) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	err = t.use(func() error {
		if t.pgx.Conn().PgConn().TxStatus() == 'I' {
			return sql.ErrTxDone
		}
		res, err = sqllog.Pgx(t.pgx).ExecContext(ctx, query, args...)
		return err
	})
	return res, err
}

// Commit implements [sqllog.PlaceTx].
func (t placeTx) Commit() error {
	return errors.Join(t.use(func() error { return t.pgx.Commit(context.Background()) }), t.Close())
}

// Rollback implements [sqllog.PlaceTx].
func (t placeTx) Rollback() error {
	return errors.Join(t.use(func() error { return t.pgx.Rollback(context.Background()) }), t.Close())
}
