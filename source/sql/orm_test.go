package sqllog_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// rewritingTx writes arguments into the text of its own placeholders, and knows
// no others, as a bun.Tx does.
type rewritingTx struct{ *sql.Tx }

var errRewritten = errors.New("the statement went through a mapper that knows other placeholders")

func (rewritingTx) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errRewritten
}

func (rewritingTx) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errRewritten
}

// TestEmbeddedTx appends and works through a transaction whose methods rewrite
// what it is given: the embedded one is used.
func TestEmbeddedTx(t *testing.T) {
	t.Parallel()
	driver, dsn := freshSQLite(t)
	db := connect(t, driver, dsn)
	log, err := sqllog.Open(t.Context(), db, "change_log", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	begin := func(ctx context.Context, opts *sql.TxOptions) (*rewritingTx, error) {
		tx, err := db.BeginTx(ctx, opts)
		return &rewritingTx{tx}, err
	}
	for _, pointer := range []bool{true, false} {
		tx, err := begin(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var given sqllog.Tx = tx
		if !pointer {
			given = *tx
		}
		if err := log.AppendTx(t.Context(), given, cdc.Event{Key: "in"}); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	place, err := sqllog.NewPlace(t.Context(), db, begin, "workers", nil)
	if err != nil {
		t.Fatal(err)
	}
	handled := errors.New("all are handled")
	err = cdc.Consume(t.Context(), log, "w", place, cdc.Handler[*rewritingTx]{
		Apply: func(ctx context.Context, tx *rewritingTx, d *cdc.Delivery) error {
			if d.Event.Key == "out" {
				return &cdc.Failure{Class: cdc.Stop, Err: handled}
			}
			return log.AppendTx(ctx, tx, cdc.Event{Key: "out"})
		},
	}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: 1})
	if !errors.Is(err, handled) {
		t.Errorf("the worker ended with %v", err)
	}
	if b, err := log.Bounds(t.Context()); err != nil || b.Head != 4 {
		t.Errorf("head %d, %v, want 4", b.Head, err)
	}
}

// TestAppendTxRefusesPools wants no append to look like part of a transaction
// that it is not in.
func TestAppendTxRefusesPools(t *testing.T) {
	t.Parallel()
	driver, dsn := freshSQLite(t)
	db := connect(t, driver, dsn)
	l := openLog(t, db, sqllog.Options{})
	for name, pool := range map[string]sqllog.Tx{
		"sql":      db.DB,
		"sqlx":     db,
		"embedded": struct{ *sql.DB }{db.DB},
		"pgxpool":  sqllog.Pgx(pgxPool{}),
		"prepares": preparing{db.DB},
	} {
		if err := l.AppendTx(t.Context(), pool, cdc.Event{}); err == nil || !strings.Contains(err.Error(), "no transaction") {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}); len(got) != 0 {
		t.Errorf("got %d events, want none", len(got))
	}
}

// pgxPool has the methods of a *pgxpool.Pool by which it is told.
type pgxPool struct{}

func (pgxPool) Exec(context.Context, string, ...any) (int, error) { return 0, nil }
func (pgxPool) Close()                                            {}
func (pgxPool) Reset()                                            {}

// preparing is a pool that prepares statements, as that of gorm.
type preparing struct{ db *sql.DB }

func (p preparing) GetDBConn() (*sql.DB, error) { return p.db, nil }

func (p preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.db.ExecContext(ctx, query, args...)
}
