package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// checkTable wants a table of the log's file.
func (c capture) checkTable(ctx context.Context, q engine.Querier) error {
	if !strings.EqualFold(c.On.Schema, c.Settings.Names.Schema) {
		return fmt.Errorf("the table is in %q and the log in %q: a trigger of SQLite writes only to its own file", c.On.Schema, c.Settings.Names.Schema)
	}
	var kind, text string
	err := q.QueryRowContext(ctx, "SELECT type, coalesce(sql, '') FROM "+c.On.Qualify("sqlite_master")+" WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')", c.On.Table).Scan(&kind, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errors.New("the table does not exist in this file; a temporary one cannot be captured")
	case err != nil:
		return err
	case kind == "view":
		return errors.New("it is a view: capture the tables below it")
	case strings.HasPrefix(strings.ToUpper(text), "CREATE VIRTUAL"):
		return errors.New("it is a virtual table, which has no triggers")
	}
	return nil
}

// checkKey wants a key that no two rows share and that is never NULL.
func (c capture) checkKey(ctx context.Context, q engine.Querier) error {
	rowid, err := c.rowidKey(ctx, q)
	if err != nil || rowid {
		return err
	}
	for _, name := range c.Table.Key {
		if !c.Kinds[name].NotNull {
			return fmt.Errorf("the key column %q may be NULL, which identifies no row and which SQLite allows even in a PRIMARY KEY: "+
				"make the table anew with NOT NULL and copy its rows, or name in Table.Key a column that is NOT NULL and UNIQUE", name)
		}
	}
	indexes, err := engine.List[string](ctx, q, `SELECT name FROM pragma_index_list(?, ?) WHERE "unique" AND NOT partial`, c.On.Table, c.On.Schema)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		columns, err := engine.List[sql.NullString](ctx, q, "SELECT name FROM pragma_index_info(?, ?)", index, c.On.Schema)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(columns, func(name sql.NullString) bool { return !name.Valid || !slices.Contains(c.Table.Key, name.String) }) {
			return nil
		}
	}
	return fmt.Errorf("no unique index has only columns of the key %v, so it does not identify a row: make one, or name other columns in Table.Key", c.Table.Key)
}

// rowidKey reports whether the key holds the table's INTEGER PRIMARY KEY, which
// has no index and is never NULL.
func (c capture) rowidKey(ctx context.Context, q engine.Querier) (bool, error) {
	var found bool
	err := q.QueryRowContext(ctx, "SELECT count(*) = 1 AND max(lower(type)) = 'integer' AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?, ?) WHERE origin = 'pk')"+
		" FROM pragma_table_xinfo(?, ?) WHERE pk > 0", c.On.Table, c.On.Schema, c.On.Table, c.On.Schema).Scan(&found)
	if err != nil || !found {
		return false, err
	}
	primary, err := engine.List[string](ctx, q, "SELECT name FROM pragma_table_xinfo(?, ?) WHERE pk > 0", c.On.Table, c.On.Schema)
	return len(primary) == 1 && slices.Equal(c.Table.Key, primary), err
}

// checkWord finds a CHECK constraint in the text of a table.
var checkWord = regexp.MustCompile(`(?i)\b(CHECK\s*\(|STRICT\b)`)

// checkTarget refuses a table of somebody else as the target of events if it has
// constraints that one could fail.
func (c capture) checkTarget(ctx context.Context, q engine.Querier) error {
	if !c.Settings.Mapped {
		return nil
	}
	n, columns := c.Settings.Names, c.Settings.Columns
	filled := []string{columns.Seq, columns.Topic, columns.Type, columns.Key, columns.Data, columns.Time}
	for name, kind := range c.Target {
		if kind.NotNull && !kind.HasDefault && !slices.Contains(filled, name) {
			return fmt.Errorf("%s.%s is NOT NULL without a DEFAULT, and a captured change has no value for it", n.Table, name)
		}
	}
	var constraints sql.NullString
	err := q.QueryRowContext(ctx, "SELECT (SELECT 'a unique index on ' || group_concat(x.name) FROM pragma_index_list(?1, ?2) l, pragma_index_info(l.name, ?2) x"+
		` WHERE l."unique" AND NOT (l.origin = 'pk' AND x.name = ?3) AND coalesce(x.name, '') <> ?4)`, n.Table, n.Schema, columns.Seq, columns.ID).Scan(&constraints)
	if err != nil {
		return err
	}
	var text string
	if err := q.QueryRowContext(ctx, "SELECT sql FROM "+n.Qualify("sqlite_master")+" WHERE type = 'table' AND name = ?", n.Table).Scan(&text); err != nil {
		return err
	}
	if word := checkWord.FindString(text); word != "" {
		constraints = sql.NullString{String: strings.TrimRight(word, " ("), Valid: true}
	}
	if constraints.Valid {
		return fmt.Errorf("%s has %s: an event that it refuses would make the user's statement fail, or be lost under OR IGNORE", n.Table, constraints.String)
	}
	return nil
}
