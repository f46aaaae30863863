package orm_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

type bunMapper struct{ db *bun.DB }

func openBun(t *testing.T, driver, dsn string, dialect schema.Dialect) mapper {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxIdleConns(8)
	return bunMapper{bun.NewDB(db, dialect)}
}

func (m bunMapper) pool() sqllog.DB    { return m.db.DB }
func (m bunMapper) outside() sqllog.Tx { return m.db }

func (m bunMapper) migrate(ctx context.Context) error {
	for _, model := range []any{(*order)(nil), (*shipment)(nil)} {
		if _, err := m.db.NewCreateTable().Model(model).IfNotExists().Exec(ctx); err != nil {
			return err
		}
	}
	orders := unchanged()
	_, err := m.db.NewInsert().Model(&orders).Exec(ctx)
	return err
}

func (m bunMapper) transaction(ctx context.Context, fn func(tx unit) error) error {
	return m.db.RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return fn(bunUnit{tx}) })
}

func (m bunMapper) versions(ctx context.Context) (map[int64]int64, error) {
	var orders []order
	err := m.db.NewSelect().Model(&orders).Scan(ctx)
	return versionsOf(orders), err
}

func (m bunMapper) shipments(ctx context.Context) ([]int64, error) {
	var seqs []int64
	err := m.db.NewSelect().Model((*shipment)(nil)).Column("seq").Order("seq").Scan(ctx, &seqs)
	return seqs, err
}

func (m bunMapper) ship(ctx context.Context, log *sqllog.Log, handled func(seq uint64) error) error {
	place, err := sqllog.NewPlace(ctx, m.db.DB, m.db.BeginTx, "workers", nil)
	if err != nil {
		return err
	}
	return cdc.Consume(ctx, log, "shipping", place, cdc.Handler[bun.Tx]{
		Apply: func(ctx context.Context, tx bun.Tx, d *cdc.Delivery) error {
			if _, err := tx.NewInsert().Model(&shipment{int64(d.Event.Seq)}).Exec(ctx); err != nil {
				return err
			}
			return handled(d.Event.Seq)
		},
	}, shipping())
}

type bunUnit struct{ tx bun.Tx }

func (u bunUnit) handle() sqllog.Tx { return u.tx }

func (u bunUnit) raise(ctx context.Context, id int64) (int64, error) {
	o := order{ID: id}
	if _, err := u.tx.NewUpdate().Model(&o).Set("version = version + 1").WherePK().Exec(ctx); err != nil {
		return 0, err
	}
	err := u.tx.NewSelect().Model(&o).WherePK().Scan(ctx)
	return o.Version, err
}

func (u bunUnit) nested(ctx context.Context, fn func(tx unit) error) error {
	return u.tx.RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return fn(bunUnit{tx}) })
}

// special begins transactions by statements of a bun.Conn.
func (m bunMapper) special(t *testing.T, log *sqllog.Log) {
	conn, err := m.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, end := range []string{"COMMIT", "ROLLBACK", "COMMIT"} {
		for _, step := range []func() error{
			func() error { return exec(t, conn, "BEGIN") },
			func() error { return exec(t, conn, "UPDATE orders SET version = version + 1 WHERE id = 1") },
			func() error {
				o := order{ID: 1}
				if err := conn.NewSelect().Model(&o).WherePK().Scan(t.Context()); err != nil {
					return err
				}
				return log.AppendTx(t.Context(), conn, eventOf(o.ID, o.Version))
			},
			func() error { return exec(t, conn, end) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	agree(t, m, log, map[int64]int64{1: 2})
}

func exec(t *testing.T, conn bun.Conn, query string) error {
	t.Helper()
	_, err := conn.ExecContext(t.Context(), query)
	return err
}
