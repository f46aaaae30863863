package sqllog

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"
)

func newFence(ctx context.Context, db *sqlx.DB, s settings) (engine, error) {
	return nil, errors.ErrUnsupported
}
func newAtCommit(db *sqlx.DB, s settings) engine { return nil }
func listen(ctx context.Context, s settings, f *feed) {}
