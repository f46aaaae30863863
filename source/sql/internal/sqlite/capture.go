package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// capturer implements engine.Capturer with row-level triggers, the only ones
// that SQLite has. An update that changes the key or the topic is a delete and an
// insert.
//
// A conflict clause of the statement that fires a trigger (OR IGNORE, OR FAIL)
// holds for the trigger's own statements, too: there, no constraint may fail.
type capturer struct{}

// Plan implements engine.Capturer.
func (capturer) Plan(ctx context.Context, q engine.Querier, c *engine.Capture) (engine.CapturePlan, error) {
	plan := capture{c}
	if err := plan.checkTable(ctx, q); err != nil {
		return nil, err
	}
	if err := plan.checkKey(ctx, q); err != nil {
		return nil, err
	}
	if err := plan.checkTarget(ctx, q); err != nil {
		return nil, err
	}
	return plan, nil
}

// Remove implements engine.Capturer.
func (capturer) Remove(c *engine.Capture) []string { return dropTriggers(c) }

// Installed implements engine.Capturer.
func (capturer) Installed(log engine.Names) string {
	return "SELECT " + literal(log.Schema) + ", tbl_name, name, sql FROM " + log.Qualify("sqlite_master") +
		" WHERE type = 'trigger' AND instr(sql, " + literal(engine.MarkPrefix) + ") > 0 ORDER BY 2"
}

func dropTriggers(c *engine.Capture) (statements []string) {
	for _, suffix := range []string{"insert", "update", "delete"} {
		statements = append(statements, "DROP TRIGGER IF EXISTS "+c.On.Qualify(c.Name(suffix)))
	}
	return statements
}

// capture writes the triggers.
type capture struct{ *engine.Capture }

// Differences implements engine.CapturePlan.
func (c capture) Differences(ctx context.Context, q engine.Querier) (engine.Problems, error) {
	const text = "SELECT coalesce((SELECT sql FROM %s WHERE type = 'trigger' AND name = ?), '')"
	query, triggers := fmt.Sprintf(text, c.On.Qualify("sqlite_master")), c.triggers()
	var installed string
	if err := q.QueryRowContext(ctx, query, triggers[0].Name).Scan(&installed); err != nil {
		return nil, err
	}
	if err := c.CheckMark(installed); err != nil {
		return nil, err
	}
	p, err := engine.CompareTexts(ctx, q, triggers, query)
	if err != nil {
		return nil, err
	}
	return p, c.checkOrder(ctx, q, &p)
}

// checkOrder finds triggers of others that were made after ours. SQLite runs
// the newest first: what they change in the table would be logged before the
// change that fired them, and RAISE(IGNORE) there would keep ours from running.
func (c capture) checkOrder(ctx context.Context, q engine.Querier, p *engine.Problems) error {
	master := c.On.Qualify("sqlite_master")
	later, err := engine.List[string](ctx, q, "SELECT name FROM "+master+" WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"+
		" AND upper(sql) LIKE '%AFTER%' AND instr(sql, ?) = 0 AND rowid > (SELECT min(rowid) FROM "+master+" WHERE type = 'trigger' AND name = ?)",
		c.On.Table, engine.MarkPrefix, c.Name("insert"))
	for _, name := range later {
		p.Add("the trigger %s was made after those of Capture and so runs before them: call Capture", name)
	}
	return err
}

// Try implements engine.CapturePlan: EXPLAIN compiles the triggers with the
// statements that fire them, in a transaction that is rolled back.
func (c capture) Try(ctx context.Context, db engine.DB) error {
	rollback := errors.New("rolled back")
	err := write(ctx, db, func(conn *sql.Conn) error {
		if err := engine.ExecAll(ctx, conn, c.Install()); err != nil {
			return err
		}
		var column string // which may be written: it is not generated
		err := conn.QueryRowContext(ctx, "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0 LIMIT 1", c.On.Table, c.On.Schema).Scan(&column)
		if err != nil {
			return err
		}
		column = c.On.Quote(column)
		for _, statement := range []string{
			"INSERT INTO " + c.On.Log + " (" + column + ") VALUES (NULL)",
			"UPDATE " + c.On.Log + " SET " + column + " = NULL",
			"DELETE FROM " + c.On.Log,
		} {
			if err := exec(ctx, conn, "EXPLAIN "+statement); err != nil {
				return err
			}
		}
		return rollback
	})
	if errors.Is(err, rollback) {
		return nil
	}
	return err
}

// Install implements engine.CapturePlan.
func (c capture) Install() []string { return engine.Creates(dropTriggers(c.Capture), c.triggers()) }

func (c capture) triggers() []engine.Trigger {
	changed, moved := c.differs(c.Table.Watch), c.differs(slices.Concat(c.Table.Key, c.Table.TopicColumns))
	inserted, updated, deleted := literal(c.Table.Type+".insert"), literal(c.Table.Type+".update"), literal(c.Table.Type+".delete")
	define := func(suffix, event, when, body string) engine.Trigger {
		name := c.Name(suffix)
		if when != "" {
			when = " WHEN " + when
		}
		rest := " AFTER " + event + " ON " + c.On.Quote(c.On.Table) + " FOR EACH ROW" + when + " BEGIN\n" + c.Mark() + body + " END"
		return engine.Trigger{Name: name, Create: "CREATE TRIGGER " + c.On.Qualify(name) + rest, Text: "CREATE TRIGGER " + c.On.Quote(name) + rest}
	}
	return []engine.Trigger{
		define("insert", "INSERT", "", c.insert(inserted, "NEW", c.data(always, "NEW"), "")),
		define("update", "UPDATE", "("+changed+") OR ("+moved+")",
			c.insert(deleted, "OLD", c.data(always, "OLD"), moved)+" "+
				c.insert(when(moved, inserted, updated), "NEW", c.data("NOT ("+moved+")", "OLD", "NEW"), "")),
		define("delete", "DELETE", "", c.insert(deleted, "OLD", c.data(always, "OLD"), "")),
	}
}

// differs compares what an event shows: bytes, whatever the columns' collations,
// and 1 with 1.0.
func (c capture) differs(columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		before, after := "OLD."+c.On.Quote(name), "NEW."+c.On.Quote(name)
		parts[i] = before + " IS NOT " + after + " COLLATE BINARY OR typeof(" + before + ") <> typeof(" + after + ")"
	}
	return strings.Join(parts, " OR ")
}

// insert writes one event of that type where the condition holds, or always: with
// the key and the topic of a row, which is OLD or NEW.
func (c capture) insert(kind, of, data, condition string) string {
	s := c.Settings
	time := now
	if s.Mapped {
		time = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	var names, values []string
	for _, f := range [...]struct{ column, value string }{
		{s.Columns.Topic, c.topic(of)},
		{s.Columns.Type, kind},
		{s.Columns.Key, c.key(of)},
		{s.Columns.Data, data},
		{s.Columns.Time, time},
		{s.Columns.Meta, c.meta()},
	} {
		if f.column != "" && f.value != "" {
			names, values = append(names, s.Names.Quote(f.column)), append(values, f.value)
		}
	}
	if condition != "" {
		condition = " WHERE " + condition
	}
	return "INSERT INTO " + s.Names.Quote(s.Names.Table) + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") + condition + ";"
}

// topic is the topic of a row.
func (c capture) topic(row string) string {
	parts := []string{literal(c.Table.Topic)}
	for _, name := range c.Table.TopicColumns {
		parts = append(parts, engine.EscapeTopic("coalesce("+c.keyPart(row, name)+", '')"))
	}
	return strings.Join(parts, " || '/' || ")
}

// meta is an object with those values that are set; empty: there are none.
func (c capture) meta() string {
	if len(c.Table.Meta) == 0 {
		return ""
	}
	parts := make([]string, len(c.Table.Meta))
	for i, m := range c.Table.Meta {
		cell := "(SELECT CAST(" + c.On.Quote(m.Source.Column) + " AS TEXT) FROM " + c.On.Quote(m.Source.Table) + " LIMIT 1)"
		parts[i] = "coalesce(" + literal(","+engine.JSONText(m.Key)+":") + " || nullif(json_quote(" + cell + "), 'null'), '')"
	}
	return "nullif('{' || ltrim(" + strings.Join(parts, " || ") + ", ',') || '}', '{}')"
}
