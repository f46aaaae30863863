package sqllog

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"
)

// sqliteSchema are the statements that make our tables, if they are missing.
// The trigger raises the floor in the transaction of every delete, whoever
// deletes; it also makes SQLite delete row by row where it would truncate.
func sqliteSchema(s settings) []string {
	n, c := s.names, s.columns
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + n.head + " (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, epoch TEXT NOT NULL, " +
			"floor INTEGER NOT NULL, head INTEGER NOT NULL, server TEXT NOT NULL)",
		"INSERT OR IGNORE INTO " + n.head + " VALUES (1, 1, lower(hex(randomblob(8))), 0, 0, '-')",
	}
	if s.Columns == nil {
		statements = append(statements,
			"CREATE TABLE IF NOT EXISTS "+n.log+" (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, topic TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT '', "+
				"key TEXT NOT NULL DEFAULT '', time INTEGER NOT NULL DEFAULT ("+sqliteNow+"), data BLOB, meta TEXT)",
			"CREATE UNIQUE INDEX IF NOT EXISTS "+n.qualify(n.table+"_id")+" ON "+n.quote(n.table)+" (id) WHERE id IS NOT NULL",
		)
	}
	if !s.InvisibleDeletes {
		head := n.quote(n.table + "_head")
		statements = append(statements, "CREATE TRIGGER IF NOT EXISTS "+n.qualify(n.table+"_floor")+" AFTER DELETE ON "+n.quote(n.table)+
			" WHEN OLD."+n.quote(c.Seq)+" > (SELECT floor FROM "+head+") BEGIN UPDATE "+head+" SET floor = OLD."+n.quote(c.Seq)+"; END")
	}
	return statements
}

func (p *problems) verifySQLite(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	master := n.qualify("sqlite_master")
	var table string
	if err := db.QueryRowContext(ctx, "SELECT sql FROM "+master+" WHERE type = 'table' AND name = ?", n.table).Scan(&table); err != nil {
		return err
	}
	if !strings.Contains(strings.ToUpper(table), "AUTOINCREMENT") {
		p.add("%s.%s is not INTEGER PRIMARY KEY AUTOINCREMENT, so SQLite may use a number again after a delete: copy the rows into a table that has it", n.table, s.columns.Seq)
	}
	var triggers int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+master+" WHERE type = 'trigger' AND name = ? AND tbl_name = ?", n.table+"_floor", n.table).Scan(&triggers); err != nil {
		return err
	}
	if triggers == 0 && !s.InvisibleDeletes {
		p.add("its trigger %s_floor, which tells readers of deleted events, is missing: run EnsureSchema, or set Options.InvisibleDeletes", n.table)
	}
	return p.verifySQLiteFile(ctx, db, s)
}

// verifySQLiteFile refuses a database in memory of which each connection has
// its own.
func (p *problems) verifySQLiteFile(ctx context.Context, db *sqlx.DB, s settings) error {
	schema := s.names.schema
	if schema == "" {
		schema = "main"
	}
	var file string
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = ?", schema).Scan(&file); err != nil {
		return err
	}
	if file == "" && db.Stats().MaxOpenConnections != 1 {
		p.add("the database is in memory and each connection of the pool may have its own: use a file, or db.SetMaxOpenConns(1)")
	}
	return nil
}
