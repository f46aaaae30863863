package orm_test

import (
	"context"
	"errors"
	"testing"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// order is the row that the mappers keep. Each change of it raises its version.
type order struct {
	ID      int64 `bun:",pk" gorm:"primaryKey;autoIncrement:false"`
	Version int64
}

// unchanged are all orders before their first change.
func unchanged() []order {
	orders := make([]order, 10)
	for i := range orders {
		orders[i].ID = int64(i + 1)
	}
	return orders
}

// shipment is a row that a worker keeps: one for each event that it handled.
type shipment struct {
	Seq int64 `bun:",pk" gorm:"primaryKey;autoIncrement:false"`
}

// mapper is a database through an object-relational mapper.
type mapper interface {
	// pool is what a log is opened with.
	pool() sqllog.DB
	// outside is what a user finds where no transaction is.
	outside() sqllog.Tx
	// migrate makes the tables, with the unchanged orders.
	migrate(ctx context.Context) error
	// transaction rolls back if fn fails.
	transaction(ctx context.Context, fn func(tx unit) error) error
	// versions of the orders that were changed.
	versions(ctx context.Context) (map[int64]int64, error)
	// shipments are the seqs of all shipments, in order.
	shipments(ctx context.Context) ([]int64, error)
	// ship works on a log: it keeps a shipment for each event, until a handler
	// returns an error.
	ship(ctx context.Context, log *sqllog.Log, handled func(seq uint64) error) error
	// special tests what only this mapper has.
	special(t *testing.T, log *sqllog.Log)
}

// unit is a transaction of the mapper, or a savepoint in it.
type unit interface {
	// raise raises the version of an order, and returns it.
	raise(ctx context.Context, id int64) (version int64, err error)
	// handle is what AppendTx is given.
	handle() sqllog.Tx
	// nested rolls back to a savepoint if fn fails.
	nested(ctx context.Context, fn func(tx unit) error) error
}

// errRollback makes the mapper roll back.
var errRollback = errors.New("rolled back on purpose")
