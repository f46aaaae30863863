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

// ExecContext refuses what would be outside of the transaction, because the
// handler has ended that.
func (t placeTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.pgx.Conn().PgConn().TxStatus() == 'I' {
		return nil, sql.ErrTxDone
	}
	return sqllog.Pgx(t.pgx).ExecContext(ctx, query, args...)
}

// Commit implements [sqllog.PlaceTx].
func (t placeTx) Commit() error {
	return errors.Join(t.pgx.Commit(context.Background()), t.Close())
}

// Rollback implements [sqllog.PlaceTx].
func (t placeTx) Rollback() error {
	return errors.Join(t.pgx.Rollback(context.Background()), t.Close())
}
