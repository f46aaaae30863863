package postgres

import (
	"context"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

const (
	sweepInterval = 2 * time.Second
	sweepEvents   = 5000
)

// sweep vacuums PostgreSQL's inbox, while the feed runs and there are many
// events: each look for pending rows begins at the first entry of an index that
// still has all that were moved. Autovacuum begins once a minute, which on a
// busy log is some hundred thousand events. Where the user may not vacuum the
// table, the server only says so, and autovacuum does it.
func sweep(ctx context.Context, db engine.DB, n engine.Names, f *engine.Feed) {
	pause, swept := sweepInterval, uint64(0)
	for {
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
		pause = sweepInterval
		b, _ := f.Status()
		if b.Head < swept+sweepEvents {
			continue
		}
		swept = b.Head
		start := time.Now()
		if sweepOnce(ctx, db, n) {
			// A transaction that stays open keeps rows from being removed, and
			// every sweep reads all of them.
			pause = max(sweepInterval, 50*time.Since(start))
		}
	}
}

// sweepOnce does nothing where another process has just done it. Of its errors
// the feed's polls tell.
func sweepOnce(ctx context.Context, db engine.DB, n engine.Names) bool {
	var dead int64
	err := db.QueryRowContext(ctx, "SELECT coalesce(pg_stat_get_dead_tuples(to_regclass("+literal(n.Inbox)+")), 0)").Scan(&dead)
	if err != nil || dead < sweepEvents {
		return false
	}
	_, err = db.ExecContext(ctx, "VACUUM (SKIP_LOCKED, TRUNCATE off, INDEX_CLEANUP on) "+n.Inbox)
	return err == nil
}
