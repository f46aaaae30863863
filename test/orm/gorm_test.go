package orm_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

type gormMapper struct {
	db  *gorm.DB
	sql *sql.DB
}

// openGorm opens the database; prepared makes gorm keep prepared statements.
func openGorm(t *testing.T, dialector gorm.Dialector, prepared bool) mapper {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{PrepareStmt: prepared, Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	pool.SetMaxIdleConns(8)
	return gormMapper{db, pool}
}

func (m gormMapper) pool() sqllog.DB    { return m.sql }
func (m gormMapper) outside() sqllog.Tx { return m.db.Statement.ConnPool }

// audited is an order whose hook appends its event.
type audited struct {
	ID, Version int64

	log  *sqllog.Log `gorm:"-"`
	fail bool        `gorm:"-"`
}

func (audited) TableName() string { return "orders" }

// AfterUpdate is called by gorm in the transaction of the update.
func (a *audited) AfterUpdate(tx *gorm.DB) error {
	var o order
	if err := tx.Session(&gorm.Session{NewDB: true}).First(&o, a.ID).Error; err != nil {
		return err
	}
	err := a.log.AppendTx(tx.Statement.Context, tx.Statement.ConnPool, eventOf(o.ID, o.Version))
	return firstOf(err, rollbackUnless(!a.fail))
}

func (m gormMapper) migrate(ctx context.Context) error {
	if err := m.db.WithContext(ctx).AutoMigrate(&order{}, &shipment{}); err != nil {
		return err
	}
	return m.db.WithContext(ctx).Create(unchanged()).Error
}

func (m gormMapper) transaction(ctx context.Context, fn func(tx unit) error) error {
	return m.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return fn(gormUnit{tx}) })
}

func (m gormMapper) versions(ctx context.Context) (map[int64]int64, error) {
	var orders []order
	err := m.db.WithContext(ctx).Find(&orders).Error
	return versionsOf(orders), err
}

func (m gormMapper) shipments(ctx context.Context) ([]int64, error) {
	var seqs []int64
	err := m.db.WithContext(ctx).Model(&shipment{}).Order("seq").Pluck("seq", &seqs).Error
	return seqs, err
}

func (m gormMapper) ship(ctx context.Context, log *sqllog.Log, handled func(seq uint64) error) error {
	place, err := sqllog.NewPlace(ctx, m.sql, m.sql.BeginTx, "workers", nil)
	if err != nil {
		return err
	}
	return cdc.Consume(ctx, log, "shipping", place, cdc.Handler[*sql.Tx]{
		Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
			db := m.db.WithContext(ctx)
			db.Statement.ConnPool = tx
			if err := db.Create(&shipment{int64(d.Event.Seq)}).Error; err != nil {
				return err
			}
			return handled(d.Event.Seq)
		},
	}, shipping())
}

type gormUnit struct{ tx *gorm.DB }

func (u gormUnit) handle() sqllog.Tx { return u.tx.Statement.ConnPool }

func (u gormUnit) raise(ctx context.Context, id int64) (int64, error) {
	tx := u.tx.WithContext(ctx)
	o := order{ID: id}
	if err := tx.Model(&o).Update("version", gorm.Expr("version + 1")).Error; err != nil {
		return 0, err
	}
	err := tx.First(&o).Error
	return o.Version, err
}

func (u gormUnit) nested(ctx context.Context, fn func(tx unit) error) error {
	return u.tx.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return fn(gormUnit{tx}) })
}

// special appends in a hook, which has a transaction unless it was asked to have
// none, and in a transaction of a single connection.
func (m gormMapper) special(t *testing.T, log *sqllog.Log) {
	raise := func(db *gorm.DB, id int64, fail bool) error {
		return db.Model(&audited{ID: id, log: log, fail: fail}).Update("version", gorm.Expr("version + 1")).Error
	}
	db := m.db.WithContext(t.Context())
	if err := raise(db, 1, false); err != nil {
		t.Error(err)
	}
	if err := raise(db, 2, true); !errors.Is(err, errRollback) {
		t.Errorf("%v, want the error of the hook", err)
	}
	alone := db.Session(&gorm.Session{SkipDefaultTransaction: true})
	if err := raise(alone.Where("version < 0"), 3, false); err == nil || !strings.Contains(err.Error(), "no transaction") {
		t.Errorf("in a hook without a transaction: %v, want it refused", err)
	}
	for _, fail := range []bool{true, false} {
		err := db.Connection(func(conn *gorm.DB) error {
			return conn.Transaction(func(tx *gorm.DB) error {
				return firstOf(change(t.Context(), log, gormUnit{tx}, 4), rollbackUnless(!fail))
			})
		})
		if err != nil && !errors.Is(err, errRollback) {
			t.Error(err)
		}
	}
	agree(t, m, log, map[int64]int64{1: 1, 4: 1})
}
