package capture

import (
	"fmt"
	"strings"
)

// postgresStep adds a step of any kind.
func (g *generator) postgresStep() {
	index := g.IntN(len(g.script.Tables))
	t := g.script.Tables[index]
	add := func(s Statement) {
		s.Table = index
		if len(t.Partitions) > 0 && !strings.HasPrefix(s.Form, "TRUNCATE") && g.chance(3) {
			s.Form = strings.ReplaceAll(s.Form, "{t}", g.one(t.Partitions...))
		}
		g.add(s)
	}
	g.choose([]weighted{
		{weight: 14, make: func() { add(g.postgresInsert(t)) }},
		{weight: 8, make: func() { add(Statement{Form: "UPDATE {t} SET {set}" + g.where(t), Sets: g.sets(t)}) }},
		{weight: 5, make: func() { add(Statement{Form: "UPDATE {t} SET {set}" + g.where(t), Sets: g.keySets(t)}) }},
		{weight: 2, make: func() {
			add(Statement{Form: "UPDATE {t} SET {set}" + g.where(t) + " RETURNING *", Sets: g.sets(t), Query: true})
		}},
		{weight: 5, make: func() { add(Statement{Form: "DELETE FROM {t}" + g.where(t)}) }},
		{weight: 1, make: func() { add(Statement{Form: "DELETE FROM {t}" + g.where(t) + " RETURNING {key}", Query: true}) }},
		{weight: 1, make: func() { add(Statement{Form: "TRUNCATE {t}" + g.one("", " RESTART IDENTITY", " CASCADE")}) }},
		{weight: 4, make: func() { add(g.postgresBulk(t)) }},
		{weight: 3, make: func() { add(g.postgresMerge(t)) }},
		{weight: 4, make: func() { add(g.postgresCTE(t)) }},
		{weight: 3, make: func() { add(g.postgresKeys(t)) }},
		{weight: 3, make: func() { add(g.postgresBlock(t)) }},
		{weight: 2, make: func() { add(g.postgresCopy(t)) }},
		{weight: 8, make: g.postgresTransaction},
		{weight: 5, make: g.postgresSession},
		{weight: 2, make: g.postgresLastValue},
		{weight: 1, make: func() { g.postgresShadow() }},
		{weight: 1, kind: ColumnGone, make: func() { g.postgresAlter(index, t) }},
	})
}

func (g *generator) postgresInsert(t *Table) Statement {
	s := Statement{Form: "INSERT INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 4)}
	switch g.IntN(8) {
	case 0, 1:
		s.Form += " ON CONFLICT DO NOTHING"
	case 2:
		s.Form, s.Sets = s.Form+" ON CONFLICT ({key}) DO UPDATE SET {set}", g.sets(t)
	case 3:
		s.Form, s.Sets = s.Form+" ON CONFLICT ({key}) DO UPDATE SET {set} WHERE EXCLUDED.{k0} <> "+g.value(t.Columns[t.Key[0]]), g.sets(t)
	}
	if g.chance(4) {
		s.Form, s.Query = s.Form+" RETURNING *", true
	}
	return s
}

// postgresBulk has more rows than a planner takes for few.
func (g *generator) postgresBulk(t *Table) Statement {
	if t.Columns[t.Key[0]].Bulk == "" {
		return g.postgresInsert(t)
	}
	form := fmt.Sprintf("INSERT INTO {t} ({cols}) SELECT {bulk} FROM generate_series(%d, %d) i", 1+g.IntN(20), 20+g.IntN(200))
	return Statement{Form: form + g.one("", " ON CONFLICT DO NOTHING", " ON CONFLICT DO NOTHING")}
}

func (g *generator) postgresMerge(t *Table) Statement {
	on := make([]string, len(t.Key))
	for i := range t.Key {
		on[i] = fmt.Sprintf("x.{k%d} = y.{k%d}", i, i)
	}
	s := Statement{Form: "MERGE INTO {t} x USING (VALUES {rows}) y ({cols}) ON " + strings.Join(on, " AND "), Rows: g.rows(t, 4)}
	for _, row := range s.Rows {
		for i := range row {
			if row[i] == "DEFAULT" {
				row[i] = t.Columns[i].Values[0]
			}
			if row[i] == "NULL" {
				row[i] = "NULL::" + t.Columns[i].Type
			}
		}
	}
	if g.chance(2) {
		s.Form, s.Sets = s.Form+" WHEN MATCHED THEN UPDATE SET {set}", g.sets(t)
	} else {
		s.Form += " WHEN MATCHED THEN DELETE"
	}
	if g.chance(2) {
		s.Form += " WHEN NOT MATCHED THEN INSERT ({key}) VALUES (" + g.prefixed("y", t) + ")"
	}
	return s
}

// prefixed are the key's columns of an alias.
func (g *generator) prefixed(alias string, t *Table) string {
	columns := make([]string, len(t.Key))
	for i := range t.Key {
		columns[i] = fmt.Sprintf("%s.{k%d}", alias, i)
	}
	return strings.Join(columns, ", ")
}

// postgresCTE writes in more than one part of a statement.
func (g *generator) postgresCTE(t *Table) Statement {
	var s Statement
	g.choose([]weighted{
		{weight: 3, make: func() {
			s = Statement{Form: "WITH d AS (DELETE FROM {t}" + g.where(t) + " RETURNING *) INSERT INTO {t} ({cols}) SELECT {cols} FROM d" + g.one("", " LIMIT 1")}
		}},
		{weight: 2, make: func() {
			s = Statement{Form: "WITH d AS (DELETE FROM {t}" + g.where(t) + ") INSERT INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 2)}
		}},
		{weight: 2, make: func() {
			s = Statement{Form: "WITH u AS (UPDATE {t} SET {set}" + g.where(t) + " RETURNING *) SELECT count(*) FROM u", Sets: g.sets(t), Query: true}
		}},
		{weight: 2, make: func() {
			s = Statement{Form: "WITH i AS (INSERT INTO {t} ({cols}) VALUES {rows} ON CONFLICT DO NOTHING) UPDATE {t} SET {set}" + g.where(t), Rows: g.rows(t, 2), Sets: g.sets(t)}
		}},
		{weight: 1, make: func() {
			s = Statement{Form: "WITH i AS (INSERT INTO {t} ({cols}) VALUES {rows} ON CONFLICT DO NOTHING) DELETE FROM {t}" + g.where(t), Rows: g.rows(t, 2)}
		}},
		{weight: 1, make: func() {
			s = Statement{Form: "WITH u AS (UPDATE {t} SET {set}" + g.where(t) + ") INSERT INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 2), Sets: g.keySets(t)}
		}},
	})
	s.Restates = true
	return s
}

// postgresLastValue asks for the session's last number, which in mode Fence is
// the log's, as docs/sql.md says; a mapped log has that mode.
func (g *generator) postgresLastValue() {
	if (g.script.Log == "change_log" || g.script.Log == "commit_log") && !g.script.Twice {
		g.run("SELECT lastval()")
		g.script.Steps[len(g.script.Steps)-1].Query = true
	}
}

// postgresKeys moves rows to other keys.
func (g *generator) postgresKeys(t *Table) Statement {
	k := t.Key[0]
	values := t.Columns[k].Values
	a, b := values[0], values[1]
	if a == "DEFAULT" || b == "DEFAULT" || t.Columns[k].Generated {
		return g.postgresInsert(t)
	}
	switch g.IntN(3) {
	case 0:
		return Statement{Form: fmt.Sprintf("UPDATE {t} SET {k0} = CASE {k0} WHEN %s THEN %s WHEN %s THEN %s ELSE {k0} END", a, b, b, a)}
	case 1:
		return Statement{Form: fmt.Sprintf("UPDATE {t} SET {k0} = %s WHERE {k0} = %s", b, a)}
	}
	if c := t.Columns[k]; c.Type == "integer" || c.Type == "bigint" {
		return Statement{Form: "UPDATE {t} SET {k0} = {k0} + 1" + g.where(t)}
	}
	return Statement{Form: fmt.Sprintf("UPDATE {t} SET {k0} = %s", a)}
}

// postgresBlock runs statements inside a function of the server.
func (g *generator) postgresBlock(t *Table) Statement {
	one, two := g.postgresInsert(t), g.where(t)
	if one.Query {
		one = Statement{Form: "INSERT INTO {t} ({cols}) VALUES {rows}", Rows: g.rows(t, 2)}
	}
	body := one.Form + "; UPDATE {t} SET {set}" + two + "; "
	if len(one.Sets) == 0 {
		one.Sets = g.sets(t)
	}
	switch g.IntN(3) {
	case 0:
		body += "RAISE EXCEPTION 'undone'; EXCEPTION WHEN OTHERS THEN DELETE FROM {t}" + g.where(t) + "; "
	case 1:
		body += "DELETE FROM {t}" + g.where(t) + "; "
	}
	one.Form = "DO $do$ BEGIN " + body + "END $do$"
	return one
}

// postgresCopy copies keys; other columns get their defaults.
func (g *generator) postgresCopy(t *Table) Statement {
	if t.Columns[t.Key[0]].Type != "integer" || len(t.Key) > 1 {
		return g.postgresInsert(t)
	}
	return Statement{Form: fmt.Sprintf("COPY {t} ({key}) FROM PROGRAM 'seq %d %d'", 1+g.IntN(6), 6+g.IntN(40))}
}
