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
	n := s.names
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + n.head + " (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, epoch TEXT NOT NULL, " +
			"floor INTEGER NOT NULL, head INTEGER NOT NULL, server TEXT NOT NULL)",
		"INSERT OR IGNORE INTO " + n.head + " VALUES (1, 1, lower(hex(randomblob(8))), 0, 0, '-')",
	}
	if s.Columns == nil {
		statements = append(statements,
			"UPDATE "+n.head+" SET epoch = lower(hex(randomblob(8))), floor = 0 WHERE NOT EXISTS (SELECT 1 FROM "+n.qualify("sqlite_master")+
				" WHERE type = 'table' AND name = "+literal(SQLite, n.table)+")", // a log that is made anew begins a new epoch
			"CREATE TABLE IF NOT EXISTS "+n.log+" (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, topic TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT '', "+
				"key TEXT NOT NULL DEFAULT '', time INTEGER NOT NULL DEFAULT ("+sqliteNow+"), data BLOB, meta TEXT)",
			"CREATE UNIQUE INDEX IF NOT EXISTS "+n.qualify(n.table+"_id")+" ON "+n.quote(n.table)+" (id) WHERE id IS NOT NULL",
		)
	}
	if !s.InvisibleDeletes {
		statements = append(statements, sqliteFloor(s))
	}
	return statements
}

// sqliteFloor makes the trigger for deletes.
func sqliteFloor(s settings) string {
	n, seq := s.names, s.names.quote(s.columns.Seq)
	head := n.quote(n.table + "_head")
	return "CREATE TRIGGER IF NOT EXISTS " + n.qualify(n.table+"_floor") + " AFTER DELETE ON " + n.quote(n.table) +
		" WHEN OLD." + seq + " > (SELECT floor FROM " + head + ") BEGIN UPDATE " + head + " SET floor = OLD." + seq + "; END"
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
	if err := p.verifySQLiteIndex(ctx, db, s); err != nil {
		return err
	}
	if !s.InvisibleDeletes {
		if err := p.verifySQLiteTrigger(ctx, db, s); err != nil {
			return err
		}
	}
	return p.verifySQLiteFile(ctx, db, s)
}

// verifySQLiteTrigger compares the text of the trigger, as SQLite keeps it.
func (p *problems) verifySQLiteTrigger(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	var got string
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT sql FROM "+n.qualify("sqlite_master")+" WHERE type = 'trigger' AND name = ? AND tbl_name = ?), '')",
		n.table+"_floor", n.table).Scan(&got)
	_, want, _ := strings.Cut(sqliteFloor(s), " AFTER ")
	if _, body, found := strings.Cut(got, " AFTER "); err != nil || (found && body == want) {
		return err
	}
	if got == "" {
		p.add("its trigger %s_floor, which tells readers of deleted events, is missing: run EnsureSchema, or set Options.InvisibleDeletes", n.table)
	} else {
		p.add("its trigger %s_floor, which tells readers of deleted events, is another one: drop it and run EnsureSchema", n.table)
	}
	return nil
}

// verifySQLiteIndex wants a unique index for the IDs.
func (p *problems) verifySQLiteIndex(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	if s.columns.ID == "" {
		return nil
	}
	partial := "l.partial = 0"
	if s.Columns == nil {
		partial = "(l.partial = 0 OR (SELECT sql LIKE '%WHERE id IS NOT NULL' FROM " + n.qualify("sqlite_master") + " WHERE type = 'index' AND name = l.name))"
	}
	var found int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_index_list(?, ?) l WHERE l.\"unique\" AND "+partial+
		" AND (SELECT group_concat(coalesce(name, '')) FROM pragma_index_info(l.name, ?)) = ?", n.table, sqliteSchemaName(n), sqliteSchemaName(n), s.columns.ID).Scan(&found)
	if err == nil && found == 0 {
		p.noIndex(s, n.table, s.columns.ID)
	}
	return err
}

// sqliteSchemaName is that of the database in which the table is.
func sqliteSchemaName(n names) string {
	if n.schema == "" {
		return "main"
	}
	return n.schema
}

// verifySQLiteFile refuses a database in memory of which each connection has
// its own.
func (p *problems) verifySQLiteFile(ctx context.Context, db *sqlx.DB, s settings) error {
	var file string
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = ?", sqliteSchemaName(s.names)).Scan(&file); err != nil {
		return err
	}
	if file == "" && db.Stats().MaxOpenConnections != 1 {
		p.add("the database is in memory and each connection of the pool may have its own: use a file, or db.SetMaxOpenConns(1)")
	}
	return nil
}
