// Package gaplesspgx gives the handlers of [cdc.Consume] transactions of pgx.
//
//	place, err := gaplesspgx.NewPlace(ctx, pool, "workers", nil)
//	err = cdc.Consume(ctx, log, "balances", place, cdc.Handler[pgx.Tx]{Apply: apply}, nil)
//
// It is the place of package sqllog, with its tables and promises, so that
// workers of both can share one. The log may be any; one of sqllog in the same
// pool is opened over stdlib.OpenDBFromPool(pool), and handlers append to it with
// AppendTx(ctx, sqllog.Pgx(tx), event).
package gaplesspgx
