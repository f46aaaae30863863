package gaplesspgx

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Place is a [sqllog.Place] in PostgreSQL whose handlers are given a pgx.Tx,
// which they must not end. Its own statements run on the same connection, in the
// same transaction. All methods may be called concurrently, by any number of
// processes.
type Place struct {
	db    *sql.DB // over the pool: it keeps no connection
	place *sqllog.Place[placeTx]
}

var _ cdc.Place[pgx.Tx] = (*Place)(nil)

// NewPlace returns the place of that name in the database of the pool, as
// [sqllog.NewPlace] does. The pool stays the caller's, and needs three
// connections: a transaction, the renewal of the lease meanwhile, and the log
// if that is there, too.
func NewPlace(ctx context.Context, pool *pgxpool.Pool, name string, opts *sqllog.PlaceOptions) (*Place, error) {
	if n := pool.Config().MaxConns; n < 3 {
		return nil, fmt.Errorf("pgx: place %q: the pool has %d connections, and a worker needs three: one for its transaction, one that renews its lease meanwhile, one that reads the log: raise pgxpool.Config.MaxConns, or pool_max_conns in the DSN", name, n)
	}
	p := &Place{db: stdlib.OpenDBFromPool(pool)}
	var err error
	if p.place, err = sqllog.NewPlace(ctx, p.db, p.begin, name, opts); err != nil {
		_ = p.db.Close() // it has no connection
		return nil, err
	}
	return p, nil
}

// Close ends what the place has of its own. The pool stays open.
func (p *Place) Close() error { return p.db.Close() }

// Lease implements [cdc.Place].
func (p *Place) Lease(ctx context.Context, worker, holder string, term time.Duration) (cdc.Lease, error) {
	return p.place.Lease(ctx, worker, holder, term)
}

// Load implements [cdc.Place].
func (p *Place) Load(ctx context.Context, worker string) (cdc.WorkerState, error) {
	return p.place.Load(ctx, worker)
}

// Workers implements [cdc.Place].
func (p *Place) Workers(ctx context.Context) ([]cdc.Worker, error) { return p.place.Workers(ctx) }

// Apply implements [cdc.Place]. If the answer to the commit is lost, the error
// is [cdc.ErrUnknownOutcome].
func (p *Place) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx pgx.Tx) (cdc.Change, error)) error {
	return p.place.Apply(ctx, worker, revision, func(ctx context.Context, tx placeTx) (cdc.Change, error) {
		return fn(ctx, tx.pgx)
	})
}
