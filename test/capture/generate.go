package capture

import (
	"fmt"
	"slices"
	"strings"
)

// Generate makes the script of a seed without the kinds that are avoided.
func Generate(d Dialect, seed uint64, avoided []Avoid) *Script {
	g := &generator{random: newRandom(seed), avoided: avoided, script: &Script{Dialect: d, Seed: seed}}
	g.script.Log = g.one(d.Logs()...)
	g.script.Twice = g.chance(12)
	switch d {
	case Postgres:
		g.postgres()
	case MariaDB:
		g.mariadb()
	case SQLite:
		g.sqlite()
	}
	return g.script
}

// generator makes one script.
type generator struct {
	random
	avoided []Avoid
	script  *Script
	open    bool // a transaction, as far as the generator can tell
}

// typed is a type of columns.
type typed struct {
	name   string
	values []string // harmless one first
	bulk   string   // see Column.Bulk
	before string   // a statement that it needs, run before tables are made
}

// column makes a column of the type.
func (g *generator) column(name string, t typed, suffix string) Column {
	if t.before != "" {
		g.before(t.before)
	}
	return Column{Name: name, Type: t.name, Suffix: suffix, Values: t.values, Bulk: t.bulk}
}

// before adds a statement once.
func (g *generator) before(text string) {
	if slices.Contains(g.script.Before, text) {
		return
	}
	g.script.Before = append(g.script.Before, text)
}

// pick draws a type.
func (g *generator) pick(types []typed) typed { return types[g.IntN(len(types))] }

// value draws a value of the column.
func (g *generator) value(c Column) string {
	if !strings.Contains(c.Suffix, "NOT NULL") && g.chance(8) {
		return "NULL"
	}
	return c.Values[g.IntN(len(c.Values))]
}

// row draws a value for each column.
func (g *generator) row(t *Table) []string {
	row := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		row[i] = g.value(c)
		if isKey(t, i) && g.chance(2) {
			row[i] = c.Values[g.IntN(min(2, len(c.Values)))] // so that keys meet
		}
	}
	return row
}

func (g *generator) rows(t *Table, most int) [][]string {
	rows := make([][]string, 1+g.IntN(most))
	for i := range rows {
		rows[i] = g.row(t)
	}
	return rows
}

// sets draws assignments of columns that are no key.
func (g *generator) sets(t *Table) []Set {
	var sets []Set
	for i, c := range t.Columns {
		if !isKey(t, i) && !c.Generated && (len(sets) == 0 || g.chance(2)) {
			sets = append(sets, Set{i, g.value(c)})
		}
	}
	return sets
}

// keySets assigns a value to one column of the key.
func (g *generator) keySets(t *Table) []Set {
	k := t.Key[g.IntN(len(t.Key))]
	if t.Columns[k].Generated {
		return g.sets(t)
	}
	return []Set{{k, t.Columns[k].Values[g.IntN(len(t.Columns[k].Values))]}}
}

// where is a condition on the key, or on nothing.
func (g *generator) where(t *Table) string {
	if g.chance(3) {
		return ""
	}
	k := g.IntN(len(t.Key))
	c := t.Columns[t.Key[k]]
	operator := "="
	if g.chance(4) {
		operator = g.one("<>", ">=", "<")
	}
	return fmt.Sprintf(" WHERE {k%d} %s %s", k, operator, c.Values[g.IntN(len(c.Values))])
}

// add appends a statement.
func (g *generator) add(s Statement) { g.script.Steps = append(g.script.Steps, s) }

// run appends a statement of a text.
func (g *generator) run(form string) { g.add(Statement{Form: form}) }

// oddName is the plain name in half of the cases.
func (g *generator) oddName(plain string, odd ...string) string {
	if g.chance(2) {
		return plain
	}
	return g.one(odd...)
}
