package sqllog

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"
)

func newMySQLSequencer(db *sqlx.DB, s settings) *sequencer { return nil }
func mysqlSchema(s settings) []string                      { return nil }
func mysqlLocked(ctx context.Context, db *sqlx.DB, s settings, fn func(conn *sqlx.Conn) error) error {
	return errors.ErrUnsupported
}
