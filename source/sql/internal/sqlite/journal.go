package sqlite

import (
	"context"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// tellJournal calls OnError if the log's file keeps a rollback journal. Writers
// and readers of such a file exclude each other: https://sqlite.org/lockingv3.html.
func tellJournal(ctx context.Context, db engine.DB, s engine.Settings) error {
	if s.OnError == nil {
		return nil
	}
	var mode, file string
	err := retryBusy(ctx, func() error {
		if err := db.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = ?", schemaName(s.Names)).Scan(&file); err != nil {
			return err
		}
		return db.QueryRowContext(ctx, "PRAGMA "+s.Names.Quote(schemaName(s.Names))+".journal_mode").Scan(&mode)
	})
	if err != nil || mode == "wal" || file == "" { // of a database in memory
		return err
	}
	s.OnError(fmt.Errorf("sql: log %q: the file keeps a rollback journal (journal_mode is %s): while the log is read, a write on a connection that does not wait fails, \"database is locked\"."+
		" Run PRAGMA journal_mode = WAL once, or let each connection that writes wait: PRAGMA busy_timeout = 10000", s.Names.Table, mode))
	return nil
}
