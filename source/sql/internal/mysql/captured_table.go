package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// detail is what the triggers need to know of a column beside its type.
type detail struct {
	kind      string
	zerofill  bool
	generated bool // computed from other columns
	virtual   bool // and only when it is read
	precision int  // digits of a second
}

// describe looks at the columns, and refuses what is no table with transactions:
// there, rows and events would not be rolled back together.
func (c *capture) describe(ctx context.Context, q engine.Querier) error {
	var kind string
	var transactions sql.NullString
	err := q.QueryRowContext(ctx, "SELECT t.table_type, (SELECT e.transactions FROM information_schema.engines e WHERE e.engine = t.engine)"+
		" FROM information_schema.tables t WHERE t.table_schema = ? AND t.table_name = ?", c.On.Schema, c.On.Table).Scan(&kind, &transactions)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errors.New("the table does not exist; a temporary one cannot be captured")
	case err != nil:
		return err
	case strings.Contains(kind, "VIEW"):
		return errors.New("it is a view: capture the tables below it")
	case transactions.String != "YES":
		return errors.New("its engine has no transactions, so a change that is rolled back would stay and its event would not: ALTER TABLE … ENGINE=InnoDB")
	}
	if err := c.describeColumns(ctx, q); err != nil {
		return err
	}
	c.guarded, err = engine.List[string](ctx, q, "SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = ? AND table_name = ?"+
		" UNION SELECT column_name FROM information_schema.statistics WHERE non_unique = 0 AND table_schema = ? AND table_name = ?"+
		" UNION SELECT referenced_column_name FROM information_schema.key_column_usage WHERE referenced_table_schema = ? AND referenced_table_name = ?",
		c.On.Schema, c.On.Table, c.On.Schema, c.On.Table, c.On.Schema, c.On.Table)
	c.guarded = slices.DeleteFunc(c.guarded, func(name string) bool { _, ok := c.details[name]; return !ok })
	if err != nil {
		return err
	}
	slices.Sort(c.guarded)
	c.holders, err = engine.List[string](ctx, q, "SELECT DISTINCT event_object_table FROM information_schema.triggers WHERE trigger_schema = ? AND event_object_table <> ?"+
		" AND trigger_name IN (?, ?, ?)", c.On.Schema, c.On.Table, c.Name("insert"), c.Name("update"), c.Name("delete"))
	return err
}

func (c *capture) describeColumns(ctx context.Context, q engine.Querier) error {
	rows, err := q.QueryContext(ctx, "SELECT column_name, lower(data_type), lower(column_type), lower(extra), coalesce(datetime_precision, 0)"+
		" FROM information_schema.columns WHERE table_schema = ? AND table_name = ?", c.On.Schema, c.On.Table)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only frees it
	c.details = map[string]detail{}
	for rows.Next() {
		var name, declared, extra string
		var d detail
		if err := rows.Scan(&name, &d.kind, &declared, &extra, &d.precision); err != nil {
			return err
		}
		d.zerofill = strings.Contains(declared, "zerofill")
		d.virtual = strings.Contains(extra, "virtual generated")
		d.generated = d.virtual || strings.Contains(extra, "stored generated")
		c.numbers = c.numbers || strings.Contains(extra, "auto_increment")
		if _, ok := c.Kinds[name]; ok {
			c.details[name] = d
		}
	}
	return rows.Err()
}

// largeKinds hold more than a key's text should.
var largeKinds = []string{"mediumtext", "longtext", "mediumblob", "longblob", "json"}

// checkKey wants a key that no two rows share and that is never NULL.
func (c capture) checkKey(ctx context.Context, q engine.Querier) error {
	for _, name := range c.Table.Key {
		if !c.Kinds[name].NotNull {
			return fmt.Errorf("the key column %q may be NULL, which identifies no row: make it NOT NULL", name)
		}
		if kind := c.details[name].kind; slices.Contains(largeKinds, kind) {
			return fmt.Errorf("the key column %q is a %s, which is too large for a key", name, kind)
		}
	}
	var unique int
	list := strings.Repeat(", ?", len(c.Table.Key))[2:]
	args := []any{c.On.Schema, c.On.Table}
	for _, name := range c.Table.Key {
		args = append(args, name)
	}
	err := q.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT index_name FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? AND non_unique = 0"+
		" GROUP BY index_name HAVING min(sub_part IS NULL AND coalesce(column_name IN ("+list+"), 0)) = 1) i", args...).Scan(&unique)
	if err == nil && unique == 0 {
		return fmt.Errorf("no unique index has only columns of the key %v, so it does not identify a row: make one, or name other columns in Table.Key", c.Table.Key)
	}
	return err
}
