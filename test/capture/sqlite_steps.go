package capture

import (
	"fmt"
	"slices"
	"strings"
)

// sqliteStep adds a step of any kind.
func (g *generator) sqliteStep() {
	index := g.IntN(len(g.script.Tables))
	t := g.script.Tables[index]
	add := func(s Statement) {
		s.Table = index
		s.Unseen = s.Unseen || g.replaces(s.Form)
		g.add(s)
	}
	or := g.one("", "", "", " OR IGNORE", " OR IGNORE", " OR REPLACE", " OR ROLLBACK", " OR ABORT")
	if g.chance(6) {
		or = " OR FAIL"
	}
	orUpdate := or
	if or == " OR REPLACE" && !g.allows(ReplacingUpdate) {
		orUpdate = ""
	}
	g.choose([]weighted{
		{weight: 14, make: func() { add(g.sqliteInsert(t, or)) }},
		{weight: 8, make: func() {
			add(Statement{Form: "UPDATE" + orUpdate + " {t} SET {set}" + g.whereUpdated(t, orUpdate), Sets: g.sets(t)})
		}},
		{weight: 5, make: func() {
			add(Statement{Form: "UPDATE" + orUpdate + " {t} SET {set}" + g.whereUpdated(t, orUpdate), Sets: g.keySets(t)})
		}},
		{weight: 2, make: func() {
			add(Statement{Form: "UPDATE" + orUpdate + " {t} SET {set}" + g.whereUpdated(t, orUpdate) + " RETURNING *", Sets: g.sets(t), Query: true})
		}},
		{weight: 5, make: func() { add(Statement{Form: "DELETE FROM {t}" + g.where(t)}) }},
		{weight: 1, make: func() { add(Statement{Form: "DELETE FROM {t}" + g.where(t) + " RETURNING {key}", Query: true}) }},
		{weight: 1, make: func() { add(Statement{Form: "DELETE FROM {t}"}) }},
		{weight: 3, make: func() { add(g.sqliteBulk(t, or)) }},
		{weight: 2, make: func() { add(g.sqliteMove(t, orUpdate)) }},
		{weight: 4, make: func() { add(Statement{Form: g.lastRowid(), Query: true}) }},
		{weight: 6, make: g.sqliteTransaction},
		{weight: 3, make: g.sqlitePragma},
	})
}

// lastRowid asks for what the connection remembers of the last statement.
func (g *generator) lastRowid() string {
	if len(g.script.Tables) > 1 && !g.allows(RowidOfFailure) {
		return "SELECT changes()"
	}
	return "SELECT changes(), last_insert_rowid()"
}

// sqliteMove moves rows to the keys of their neighbours.
func (g *generator) sqliteMove(t *Table, or string) Statement {
	if !strings.HasPrefix(t.Columns[t.Key[0]].Type, "INT") {
		return Statement{Form: "UPDATE" + or + " {t} SET {set}" + g.whereUpdated(t, or), Sets: g.keySets(t)}
	}
	return Statement{Form: "UPDATE" + or + " {t} SET {k0} = {k0} + 1" + g.whereUpdated(t, or)}
}

// whereUpdated is a condition on one row where an UPDATE may leave out some of
// its rows: with a trigger it can take them in another order.
func (g *generator) whereUpdated(t *Table, or string) string {
	leavesOut := or == " OR IGNORE" || or == " OR FAIL" || strings.Contains(strings.Join(t.Constraints, " "), "ON CONFLICT IGNORE")
	if !leavesOut || g.allows(RowOrder) {
		return g.where(t)
	}
	parts := make([]string, len(t.Key))
	for i, k := range t.Key {
		values := t.Columns[k].Values
		parts[i] = fmt.Sprintf("{k%d} = %s", i, values[g.IntN(len(values))])
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

// replaces reports whether rows may be removed that no trigger sees.
func (g *generator) replaces(form string) bool {
	if slices.Contains(g.script.Before, "PRAGMA recursive_triggers = ON") {
		return false
	}
	if strings.Contains(form, "REPLACE") {
		return true
	}
	for _, t := range g.script.Tables {
		if strings.Contains(strings.Join(t.Constraints, " "), "REPLACE") {
			return !strings.HasPrefix(form, "SELECT") && !strings.HasPrefix(form, "DELETE")
		}
	}
	return false
}

func (g *generator) sqliteInsert(t *Table, or string) Statement {
	s := Statement{Form: "INSERT" + or + " INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 4)}
	switch g.IntN(8) {
	case 0:
		s.Form += " ON CONFLICT DO NOTHING"
	case 1:
		s.Form, s.Sets = s.Form+" ON CONFLICT DO UPDATE SET {set}", g.sets(t)
	case 2:
		s.Form, s.Sets = s.Form+" ON CONFLICT DO UPDATE SET {set}", g.keySets(t)
	}
	if g.chance(4) {
		s.Form, s.Query = s.Form+" RETURNING *", true
	}
	return s
}

func (g *generator) sqliteBulk(t *Table, or string) Statement {
	if t.Columns[t.Key[0]].Bulk == "" {
		return g.sqliteInsert(t, or)
	}
	return Statement{Form: fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT%s INTO {t} ({cols}) SELECT {bulk} FROM n",
		1+g.IntN(5), 5+g.IntN(60), or)}
}

func (g *generator) sqliteTransaction() {
	if !g.open {
		g.open = true
		g.run("BEGIN" + g.one("", " IMMEDIATE"))
		return
	}
	switch g.IntN(6) {
	case 0, 1:
		g.run("SAVEPOINT a")
	case 2:
		g.run("ROLLBACK TO a")
	case 3:
		g.run("RELEASE a")
	default:
		g.run(g.one("COMMIT", "COMMIT", "ROLLBACK"))
		g.open = false
	}
}

func (g *generator) sqlitePragma() {
	g.run(g.one("PRAGMA ignore_check_constraints = ON", "PRAGMA defer_foreign_keys = ON", "PRAGMA trusted_schema = OFF",
		"PRAGMA query_only = OFF", "PRAGMA cache_size = 10", "PRAGMA legacy_alter_table = ON", "PRAGMA cell_size_check = ON", "PRAGMA automatic_index = OFF"))
}
