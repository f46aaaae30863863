package sqllog_test

import (
	"context"
	"database/sql"
	"errors"
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
