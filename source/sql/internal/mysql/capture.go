package mysql

import (
	"context"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// capturer implements engine.Capturer with row-level triggers, the only ones
// that MySQL has. An IF tells an update that changes the key or the topic.
type capturer struct{}

// Plan implements engine.Capturer.
func (capturer) Plan(ctx context.Context, q engine.Querier, c *engine.Capture) (engine.CapturePlan, error) {
	plan := capture{Capture: c}
	if err := plan.describe(ctx, q); err != nil {
		return nil, err
	}
	return plan, plan.checkKey(ctx, q)
}

// Remove implements engine.Capturer.
func (capturer) Remove(c *engine.Capture) []string {
	return append(dropTriggers(c), "DROP TABLE IF EXISTS "+twinOf(c).On.Log)
}

// Installed implements engine.Capturer.
func (capturer) Installed(engine.Names) string {
	return "SELECT event_object_schema, event_object_table, trigger_name, action_statement FROM information_schema.triggers" +
		" WHERE instr(action_statement, " + literal(engine.MarkPrefix) + ") > 0 ORDER BY 1, 2"
}

func dropTriggers(c *engine.Capture) (statements []string) {
	for _, suffix := range []string{"insert", "update", "delete"} {
		statements = append(statements, "DROP TRIGGER IF EXISTS "+c.On.Qualify(c.Name(suffix)))
	}
	return statements
}

// capture writes the triggers.
type capture struct {
	*engine.Capture
	details map[string]detail // of the columns
	numbers bool              // the table has an AUTO_INCREMENT
	guarded []string          // columns whose change a constraint may refuse
	holders []string          // other tables that have the triggers, because they had the table's name
}

// Differences implements engine.CapturePlan. A trigger stays with a table that
// is renamed.
func (c capture) Differences(ctx context.Context, q engine.Querier) (engine.Problems, error) {
	query := "SELECT coalesce((SELECT concat(if(sql_mode = " + literal(triggerMode) + ", '', concat(sql_mode, ' ')), action_timing, ' ', event_manipulation, ' ', action_statement) FROM information_schema.triggers" +
		" WHERE trigger_name = ? AND trigger_schema = " + literal(c.On.Schema) + " AND event_object_schema = trigger_schema AND event_object_table = " + literal(c.On.Table) + "), '')"
	triggers := c.triggers()
	var installed string
	if err := q.QueryRowContext(ctx, query, triggers[0].Name).Scan(&installed); err != nil {
		return nil, err
	}
	if err := c.CheckMark(installed); err != nil {
		return nil, err
	}
	problems, err := engine.CompareTexts(ctx, q, triggers, query)
	if err != nil {
		return nil, err
	}
	err = c.checkDefiners(ctx, q, &problems)
	return problems, err
}

// Install implements engine.CapturePlan. Nobody writes to the table between the
// triggers that are dropped and those that are made.
func (c capture) Install() []string {
	locked := []string{c.On.Log + " WRITE"}
	for _, table := range c.holders {
		locked = append(locked, c.On.Qualify(table)+" WRITE")
	}
	first := append([]string{
		"SET @gapless_mode = @@SESSION.sql_mode",
		"SET SESSION sql_mode = " + literal(triggerMode), // which a trigger keeps, whoever runs these
		"LOCK TABLES " + strings.Join(locked, ", "),
	}, dropTriggers(c.Capture)...)
	return append(engine.Creates(first, c.triggers()), "UNLOCK TABLES", "SET SESSION sql_mode = @gapless_mode")
}

func (c capture) triggers() []engine.Trigger {
	define := func(suffix, body string) engine.Trigger {
		name := c.Name(suffix)
		when, body := "AFTER "+strings.ToUpper(suffix), "BEGIN\n"+c.Mark()+body+" END"
		return engine.Trigger{Name: name, Create: "CREATE TRIGGER " + c.On.Qualify(name) + " " + when + " ON " + c.On.Log + " FOR EACH ROW " + body, Text: when + " " + body}
	}
	return []engine.Trigger{
		define("insert", c.emit("insert", "NEW", "NEW")),
		define("update", c.update()),
		define("delete", c.emit("delete", "OLD", "OLD")),
	}
}

// update fires for each row that the statement found, also for one that UPDATE
// IGNORE leaves as it is: such a row is still in the table.
func (c capture) update() string {
	moved := c.differs(slices.Concat(c.Table.Key, c.Table.TopicColumns))
	body := "IF " + moved + " THEN " + c.emit("delete", "OLD", "OLD") + " " + c.emit("insert", "NEW", "NEW") +
		" ELSEIF " + c.differs(c.Table.Watch) + " THEN " + c.emit("update", "NEW", "OLD", "NEW") + " END IF;"
	if len(c.guarded) == 0 {
		return body
	}
	var same []string
	for _, name := range c.Table.Key {
		same = append(same, "gapless_row."+c.On.Quote(name)+" = OLD."+c.On.Quote(name))
	}
	for _, name := range c.guarded {
		same = append(same, c.equal("gapless_row."+c.On.Quote(name), "OLD."+c.On.Quote(name), name))
	}
	return "IF NOT (" + c.differs(c.guarded) + ") OR NOT EXISTS (SELECT 1 FROM " + c.On.Log + " gapless_row WHERE " + strings.Join(same, " AND ") + ") THEN " + body + " END IF;"
}

// differs compares what an event shows: bytes, whatever the columns' collations.
func (c capture) differs(columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		parts[i] = "NOT (" + c.equal("OLD."+c.On.Quote(name), "NEW."+c.On.Quote(name), name) + ")"
	}
	return strings.Join(parts, " OR ")
}

func (c capture) equal(one, other, name string) string {
	form := "CAST(% AS BINARY)"
	switch c.details[name].kind {
	case "timestamp": // its text depends on the session, and two hours a year share one
		form = "UNIX_TIMESTAMP(%)"
	case "float": // its text has not all digits
		form = "CAST(CAST(% AS DOUBLE) AS BINARY)"
	}
	return strings.Replace(form, "%", one, 1) + " <=> " + strings.Replace(form, "%", other, 1)
}
