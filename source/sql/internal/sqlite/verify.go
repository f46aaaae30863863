package sqlite

import (
	"context"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Refuse implements engine.Schema: there is one mode, and no setting of a
// connection that would lose events.
func (schema) Refuse(context.Context, engine.Querier, engine.Settings) (engine.Problems, error) {
	return nil, nil
}

// check collects what is wrong.
type check struct{ *engine.Problems }

// Verify implements engine.Schema. It waits for the lock, if others are writing.
func (schema) Verify(ctx context.Context, db engine.DB, s engine.Settings) (p engine.Problems, err error) {
	need := engine.Need{
		Head: engine.OneType("one integer", "version integer", "epoch text", "floor integer", "head integer", "server text"),
		Log:  engine.OneType("seq integer", "id text", "topic text", "type text", "key text", "time integer", "data blob", "meta text"),
		Seq:  []string{"bigint", "integer"},
		Also: func(ctx context.Context, p *engine.Problems) error { return check{p}.verify(ctx, db, s) },
	}
	err = retryBusy(ctx, func() error {
		p, err = engine.Compare(ctx, db, s, need)
		return err
	})
	return p, err
}

// verify looks at what keeps the order, and at what could hide rows.
func (p check) verify(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	master := n.Qualify("sqlite_master")
	var table string
	if err := db.QueryRowContext(ctx, "SELECT sql FROM "+master+" WHERE type = 'table' AND name = ?", n.Table).Scan(&table); err != nil {
		return err
	}
	if !strings.Contains(strings.ToUpper(table), "AUTOINCREMENT") {
		p.Add("%s.%s is not INTEGER PRIMARY KEY AUTOINCREMENT, so SQLite may use a number again after a delete: copy the rows into a table that has it", n.Table, s.Columns.Seq)
	}
	if err := p.verifyIndex(ctx, db, s); err != nil {
		return err
	}
	if !s.Mapped {
		if err := p.verifyTopics(ctx, db, n); err != nil {
			return err
		}
	}
	if !s.InvisibleDeletes {
		if err := p.verifyTrigger(ctx, db, s); err != nil {
			return err
		}
	}
	return p.verifyFile(ctx, db, s)
}

// verifyTrigger compares the text of the trigger, as SQLite keeps it.
func (p check) verifyTrigger(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	var got string
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT sql FROM "+n.Qualify("sqlite_master")+" WHERE type = 'trigger' AND name = ? AND tbl_name = ?), '')",
		n.Table+"_floor", n.Table).Scan(&got)
	_, want, _ := strings.Cut(floorTrigger(s), " AFTER ")
	if _, body, found := strings.Cut(got, " AFTER "); err != nil || (found && body == want) {
		return err
	}
	if got == "" {
		p.Add("its trigger %s_floor, which tells readers of deleted events, is missing: run EnsureSchema, or set Options.InvisibleDeletes", n.Table)
	} else {
		p.Add("its trigger %s_floor, which tells readers of deleted events, is another one: drop it and run EnsureSchema", n.Table)
	}
	return nil
}

// verifyIndex wants a unique index for the IDs.
func (p check) verifyIndex(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	if s.Columns.ID == "" {
		return nil
	}
	partial := "l.partial = 0"
	if !s.Mapped {
		partial = "(l.partial = 0 OR (SELECT sql LIKE '%WHERE id IS NOT NULL' FROM " + n.Qualify("sqlite_master") + " WHERE type = 'index' AND name = l.name))"
	}
	var found int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_index_list(?, ?) l WHERE l.\"unique\" AND "+partial+
		" AND (SELECT group_concat(coalesce(name, '')) FROM pragma_index_info(l.name, ?)) = ?", n.Table, schemaName(n), schemaName(n), s.Columns.ID).Scan(&found)
	if err == nil && found == 0 {
		p.NoIndex(s, n.Table, s.Columns.ID, true)
	}
	return err
}

// verifyFile refuses a database in memory of which each connection has
// its own.
func (p check) verifyFile(ctx context.Context, db engine.DB, s engine.Settings) error {
	var file string
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(file), '') FROM pragma_database_list WHERE name = ?", schemaName(s.Names)).Scan(&file); err != nil {
		return err
	}
	if file == "" && db.Stats().MaxOpenConnections != 1 {
		p.Add("the database is in memory and each connection of the pool may have its own: use a file, or db.SetMaxOpenConns(1)")
	}
	return nil
}
