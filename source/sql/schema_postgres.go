package sqllog

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// postgresLocked runs fn in a transaction while no other process makes a
// schema. What the processes before it have made is visible whatever isolation
// is the default.
func postgresLocked(ctx context.Context, db *sqlx.DB, s settings, fn func(tx *sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "gapless schema "+s.Table); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}
