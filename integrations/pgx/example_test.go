package gaplesspgx_test

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gapless-go/gapless/cdc"
	gaplesspgx "github.com/gapless-go/gapless/integrations/pgx"
)

func ExampleNewPlace() {
	run := func(ctx context.Context, pool *pgxpool.Pool, log cdc.Log) error {
		place, err := gaplesspgx.NewPlace(ctx, pool, "workers", nil)
		if err != nil {
			return err
		}
		defer place.Close()
		return cdc.Consume(ctx, log, "balances", place, cdc.Handler[pgx.Tx]{
			Apply: func(ctx context.Context, tx pgx.Tx, d *cdc.Delivery) error {
				_, err := tx.Exec(ctx, "UPDATE balances SET n = n + 1 WHERE owner = $1", d.Event.Key)
				return err
			},
		}, nil)
	}
	_ = run
}
