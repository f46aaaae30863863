package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// placer implements engine.Placer.
func placer() engine.Placer {
	return engine.Placer{
		Statements: placeStatements,
		State:      engine.OneType("name text", "revision integer", "generation integer", "position text", "paused integer"),
		Lease:      engine.OneType("name text", "holder text", "generation integer", "expires integer"),
		Parked:     engine.OneType("name text", "seq text", "entry text"),
		Also: func(ctx context.Context, db engine.DB, n engine.Names, p *engine.Problems) error {
			return check{p}.verifyFile(ctx, db, engine.Settings{Names: n})
		},
		Now:     now,
		Insert:  "INSERT OR IGNORE INTO ",
		Replace: " ON CONFLICT (name, seq) DO UPDATE SET entry = excluded.entry",
		Write: func(ctx context.Context, db engine.DB, fn func(tx engine.Session) error) error {
			return write(ctx, db, func(conn *sql.Conn) error { return fn(conn) })
		},
		Holders: func(context.Context, engine.Querier, engine.PlaceNames, error) string { return "" },
		Refused: func(err error) bool { return strings.Contains(err.Error(), "constraint failed") },
		Begin:   retryBusy,
		Enter:   enterPlace,
		Leave:   leavePlace,
	}
}

func placeStatements(n engine.PlaceNames) []string {
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.State + " (name TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, generation INTEGER NOT NULL, position TEXT NOT NULL, paused INTEGER NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Lease + " (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, generation INTEGER NOT NULL, expires INTEGER NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Parked + " (name TEXT NOT NULL, seq TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (name, seq))",
	}
}

// enterPlace takes the writer's lock: a transaction that reads first could not
// get it later.
func enterPlace(ctx context.Context, tx engine.Session, n engine.PlaceNames, e engine.PlaceEntry) (revision uint64, _ string, err error) {
	err = retryBusy(ctx, func() error {
		_, err := tx.ExecContext(ctx, "UPDATE "+n.State+" SET revision = revision WHERE name = ?", e.Worker)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	revision, err = engine.ReadRevision(ctx, tx, "SELECT revision FROM "+n.State+" WHERE name = ?", []any{e.Worker})
	return revision, "", err
}

// leavePlace ends the transaction by a statement that can be repeated: where
// the journal is no WAL, a commit waits for readers.
func leavePlace(ctx context.Context, tx engine.Session, statement, _ string) error {
	return retryBusy(ctx, func() error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}
