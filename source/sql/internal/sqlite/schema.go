package sqlite

import (
	"context"
	"database/sql"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// schema implements engine.Schema.
type schema struct{}

// Alone implements engine.Schema: SQLite has one writer at a time.
func (schema) Alone(ctx context.Context, db engine.DB, _ engine.Settings, fn func(tx engine.Session) error) error {
	return write(ctx, db, func(conn *sql.Conn) error { return fn(conn) })
}

// Statements implements engine.Schema. The trigger raises the floor in the
// transaction of every delete, whoever deletes; it also makes SQLite delete row
// by row where it would truncate.
func (schema) Statements(s engine.Settings) []string {
	n := s.Names
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + n.Head + " (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, epoch TEXT NOT NULL, " +
			"floor INTEGER NOT NULL, head INTEGER NOT NULL, server TEXT NOT NULL)",
		"INSERT OR IGNORE INTO " + n.Head + " VALUES (1, 1, lower(hex(randomblob(8))), 0, 0, '-')",
	}
	if !s.Mapped {
		statements = append(statements,
			"UPDATE "+n.Head+" SET epoch = lower(hex(randomblob(8))), floor = 0 WHERE NOT EXISTS (SELECT 1 FROM "+n.Qualify("sqlite_master")+
				" WHERE type = 'table' AND name = "+literal(n.Table)+")", // a log that is made anew begins a new epoch
			"CREATE TABLE IF NOT EXISTS "+n.Log+" (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, topic TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT '', "+
				"key TEXT NOT NULL DEFAULT '', time INTEGER NOT NULL DEFAULT ("+now+"), data BLOB, meta TEXT)",
			"CREATE UNIQUE INDEX IF NOT EXISTS "+n.Qualify(n.Table+"_id")+" ON "+n.Quote(n.Table)+" (id) WHERE id IS NOT NULL",
			topicIndex(n),
		)
	}
	if !s.InvisibleDeletes {
		statements = append(statements, floorTrigger(s))
	}
	return statements
}

// floorTrigger makes the trigger for deletes.
func floorTrigger(s engine.Settings) string {
	n, seq := s.Names, s.Names.Quote(s.Columns.Seq)
	head := n.Quote(n.Table + "_head")
	return "CREATE TRIGGER IF NOT EXISTS " + n.Qualify(n.Table+"_floor") + " AFTER DELETE ON " + n.Quote(n.Table) +
		" WHEN OLD." + seq + " > (SELECT floor FROM " + head + ") BEGIN UPDATE " + head + " SET floor = OLD." + seq + "; END"
}
