package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// Capture is a table whose triggers are generated, with what the user left to
// us filled in.
type Capture struct {
	Settings Settings
	Table    Table
	On       Names             // of the table
	Kinds    map[string]Column // its columns
	Target   map[string]Column // columns of the table that events are inserted into
}

// NewCapture does not look at the table.
func NewCapture(s Settings, t Table) *Capture {
	return &Capture{Settings: s, Table: t, On: NewNames(s.Dialect.Syntax, t.Name)}
}

// Ensure installs the triggers, unless they are what they must be.
func (c *Capture) Ensure(ctx context.Context, db DB) error {
	plan, problems, err := c.look(ctx, db)
	if err != nil || len(problems) == 0 {
		return err
	}
	if err := plan.Try(ctx, db); err != nil {
		return fmt.Errorf("its triggers were tried, and nothing was installed: %w", err)
	}
	return c.run(ctx, db, plan.Install())
}

// Statements are those with which Ensure would install the triggers now.
func (c *Capture) Statements(ctx context.Context, q Querier) ([]string, error) {
	plan, _, err := c.look(ctx, q)
	if err != nil {
		return nil, err
	}
	return plan.Install(), nil
}

// Verify says in words how the triggers that are there differ.
func (c *Capture) Verify(ctx context.Context, db DB) (Problems, error) {
	_, problems, err := c.look(ctx, db)
	return problems, err
}

// Remove removes them, if there are any.
func (c *Capture) Remove(ctx context.Context, db DB) error {
	if err := c.resolve(ctx, db); err != nil {
		return err
	}
	return c.run(ctx, db, c.Settings.Dialect.Capturer.Remove(c))
}

// resolve finds the schemas of table and log: names in triggers must mean the
// same whoever fires them.
func (c *Capture) resolve(ctx context.Context, q Querier) (err error) {
	catalog := c.Settings.Dialect.Catalog
	if c.On, err = catalog.Resolve(ctx, q, c.On); err != nil {
		return err
	}
	c.Settings.Names, err = catalog.Resolve(ctx, q, c.Settings.Names)
	return err
}

// look looks the table up, fills in what the user left to us, and compares the
// triggers.
func (c *Capture) look(ctx context.Context, q Querier) (CapturePlan, Problems, error) {
	if err := c.lookUp(ctx, q); err != nil {
		return nil, nil, err
	}
	plan, err := c.Settings.Dialect.Capturer.Plan(ctx, q, c)
	if err != nil {
		return nil, nil, err
	}
	problems, err := plan.Differences(ctx, q)
	return plan, problems, err
}

func (c *Capture) lookUp(ctx context.Context, q Querier) (err error) {
	if err := c.resolve(ctx, q); err != nil {
		return err
	}
	n, catalog := c.Settings.Names, c.Settings.Dialect.Catalog
	if c.Kinds, err = catalog.Columns(ctx, q, c.On, c.On.Table); err != nil {
		return err
	}
	if len(c.Kinds) == 0 {
		return errors.New("the table does not exist, or this user may not see it")
	}
	if slices.Contains([]string{n.Log, n.Inbox, n.Head}, c.On.Log) {
		return errors.New("the table is the log's own: its changes would be changes again")
	}
	if c.Target, err = catalog.Columns(ctx, q, n, n.Table); err != nil {
		return err
	}
	if c.Table.Key == nil {
		if c.Table.Key, err = catalog.PrimaryKey(ctx, q, c.On); err != nil {
			return err
		}
	}
	return c.complete()
}

func (c *Capture) run(ctx context.Context, db DB, statements []string) error {
	return c.Settings.Dialect.Schema.Alone(ctx, db, c.Settings, func(tx Session) error { return ExecAll(ctx, tx, statements) })
}

// maxTriggerBytes is taken for a name by every dialect.
const maxTriggerBytes = 63

// Name of a trigger or function: each log has its own on a table. Where names
// are long or could be read in two ways, a hash stands for the rest.
func (c *Capture) Name(suffix string) string {
	const between = "_to_"
	log := c.Settings.Names.Table
	if c.Settings.Names.Schema != c.On.Schema {
		log = c.Settings.Names.Schema + "." + log
	}
	name := c.On.Table + between + log + "_" + suffix
	if len(name) <= maxTriggerBytes && strings.Count(name, between) == 1 {
		return name
	}
	rest := "_" + cdc.Event{Key: c.On.Table, Type: log}.Tag() + "_" + suffix
	return strings.ToValidUTF8(c.On.Table[:min(len(c.On.Table), maxTriggerBytes-len(rest))], "") + rest
}

// KeyText is the key as text: % stands for the columns, as value writes each, in
// the forms for several and for one.
func (c *Capture) KeyText(value func(column string) string, several, one string) string {
	columns := make([]string, len(c.Table.Key))
	for i, k := range c.Table.Key {
		columns[i] = value(k)
	}
	form := several
	if len(columns) == 1 {
		form = one
	}
	return strings.Replace(form, "%", strings.Join(columns, ", "), 1)
}

// Trigger is one trigger with the statement that makes it.
type Trigger struct {
	Name   string // unquoted
	Create string
	Text   string // as the database shows it
}

// Creates are the statements that make the triggers, after those that drop some.
func Creates(drops []string, triggers []Trigger) []string {
	for _, t := range triggers {
		drops = append(drops, t.Create)
	}
	return drops
}

// CompareTexts compares each trigger with the text that the query returns for its
// name; empty: it is missing.
func CompareTexts(ctx context.Context, q Querier, triggers []Trigger, query string) (Problems, error) {
	var p Problems
	for _, t := range triggers {
		var got string
		if err := q.QueryRowContext(ctx, query, t.Name).Scan(&got); err != nil {
			return nil, err
		}
		p.Differs(t.Name, got, t.Text)
	}
	return p, nil
}

// Differs compares the text of a trigger or its function.
func (p *Problems) Differs(name, got, want string) {
	switch got {
	case want:
	case "":
		p.Add("the trigger %s is missing: call Capture", name)
	default:
		p.Add("the trigger %s is not what Capture would make now: call it again", name)
	}
}
