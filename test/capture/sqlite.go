package capture

import (
	"fmt"
	"strings"
)

// sqlite makes a script for SQLite.
func (g *generator) sqlite() {
	if !g.chance(5) {
		g.before("PRAGMA recursive_triggers = ON")
	}
	if g.chance(3) {
		g.before("PRAGMA foreign_keys = ON")
	}
	g.sqliteTable()
	if g.chance(4) {
		g.sqliteChild()
	}
	for range 5 + g.IntN(15) {
		g.sqliteStep()
	}
	if g.chance(2) && g.open {
		g.run("COMMIT")
	}
}

// sqliteKeyTypes are types of columns in a key.
func sqliteKeyTypes() []typed {
	text := []string{"'a'", "'b'", "'A'", "''", "'é'", "'1'", "'[1,2]'", "'null'", "'it''s'"}
	return []typed{
		{name: "INTEGER", values: []string{"1", "2", "3", "-1", "4611686018427387904"}, bulk: "i"},
		{name: "INT", values: []string{"1", "2", "3"}, bulk: "i"},
		{name: "TEXT", values: text, bulk: "'k' || i"},
		{name: "VARCHAR(5)", values: text, bulk: "'k' || i"},
		{name: "BLOB", values: []string{"x'00ff'", "x''", "x'5c'"}, bulk: "CAST(i AS BLOB)"},
		{name: "DATE", values: []string{"'2026-01-02'", "20260102"}, bulk: "i"},
		{name: "REAL", values: []string{"1.5", "2", "1e300", "0.1"}, bulk: "i"},
		{name: "", values: []string{"1", "'1'", "x'31'", "'a'"}, bulk: "i"},
		{name: "TEXT COLLATE NOCASE", values: []string{"'a'", "'A'", "'b'"}, bulk: "'k' || i"},
		{name: "TEXT COLLATE RTRIM", values: []string{"'a'", "'a '", "'b'"}, bulk: "'k' || i"},
		{name: "", values: []string{"1", "1.0", "2"}, bulk: "i"},
		{name: "TEXT", values: []string{"'a'", "CAST(x'ff41' AS TEXT)", "CAST(x'fe' AS TEXT)"}, bulk: "'k' || i"},
		{name: "REAL", values: []string{"0.0", "-0.0", "9e999", "-9e999"}, bulk: "i"},
	}
}

func sqliteTypes() []typed {
	types := append(sqliteKeyTypes(),
		typed{name: "", values: []string{"1", "'1'", "x'01'", "''", "x''", "-0.0", "1e-320", "0.1", "9223372036854775807", "-9223372036854775808", "1.7976931348623157e308"}},
		typed{name: "NUMERIC", values: []string{"1", "1.50", "'abc'", "x'ff'", "1e40"}},
		typed{name: "BOOLEAN", values: []string{"TRUE", "FALSE", "5"}},
		typed{name: "", values: []string{"1", "1.0", "2.0", "2"}},
		typed{name: "JSON", values: []string{`'{"a":1}'`, "'{'", "'[1, 2]'"}},
		typed{name: "JSON", values: []string{"json('[1,2]')", "'[1,2]'", "json_quote('a')"}},
		typed{name: "TEXT", values: []string{"'x'", "char(10) || char(1) || '\"\\'", "char(0x1F642)", "char(0x2028)", "replace(hex(zeroblob(3000)), '0', 'y')"}},
		typed{name: "TEXT", values: []string{"'a'", "'a' || char(0) || 'b'"}},
		typed{name: "TEXT", values: []string{"'a'", "CAST(x'ff41' AS TEXT)", "CAST(x'eda080' AS TEXT)"}},
		typed{name: "REAL", values: []string{"9e999", "-9e999", "0.1"}},
	)
	for i := range types {
		types[i].bulk = ""
	}
	return types
}

func (g *generator) sqliteTable() {
	t := &Table{Captured: true, Name: g.oddName("orders", "Größe 🙂", "select", `it's "q"`, "UPPER", "a%s", `back\slash`, "new", "old", strings.Repeat("n", 80), "{x}", "--x", "a;b")}
	if g.chance(40) {
		t.Create = "CREATE TEMP TABLE"
	}
	strict := g.chance(8)
	pick := func(types []typed) typed {
		for {
			if c := g.pick(types); !strict || c.name == "INTEGER" || c.name == "TEXT" || c.name == "BLOB" || c.name == "REAL" {
				return c
			}
		}
	}
	names := []string{"id", g.one("Key", "order"), g.one("é", `k"3`)}
	size := 1
	if g.chance(3) {
		size = 2 + g.IntN(2)
	}
	for i := range size {
		t.Columns = append(t.Columns, g.column(names[i], pick(sqliteKeyTypes()), "NOT NULL"))
		t.Key = append(t.Key, i)
	}
	others := []string{"a", "b", g.one("new", "old", "data", "c"), g.one("%", "select", "x"), g.one(`"`, "e'", `f\`), "k9", "topic"}
	for i := range 1 + g.IntN(6) {
		t.Columns = append(t.Columns, g.column(others[i], pick(sqliteTypes()), ""))
	}
	if g.chance(6) && !strict {
		t.Columns = append(t.Columns, Column{Name: "made", Type: "TEXT", Suffix: "AS (hex(id)) " + g.one("STORED", "VIRTUAL"), Values: []string{"NULL"}, Generated: true})
	}
	conflict := g.one("", " ON CONFLICT IGNORE")
	if g.allows(ReplacingUpdate) && g.chance(3) {
		conflict = " ON CONFLICT REPLACE"
	}
	if g.chance(4) && t.Columns[size].Type != "" {
		t.Constraints = append(t.Constraints, fmt.Sprintf("UNIQUE ({c%d})%s", size, conflict))
	}
	g.sqliteKey(t, strict)
	if g.chance(5) {
		g.sqliteTrigger(t)
	}
	g.script.Tables = append(g.script.Tables, t)
}

// sqliteKey draws how the key is one.
func (g *generator) sqliteKey(t *Table, strict bool) {
	conflict := g.one("", "", "", " ON CONFLICT IGNORE", " ON CONFLICT ROLLBACK")
	if g.allows(ReplacingUpdate) && g.chance(5) {
		conflict = " ON CONFLICT REPLACE"
	}
	g.choose([]weighted{
		{weight: 6, make: func() { t.Constraints = append(t.Constraints, "PRIMARY KEY ({key})"+conflict) }},
		{weight: 2, make: func() { t.Constraints, t.Suffix = append(t.Constraints, "PRIMARY KEY ({key})"), "WITHOUT ROWID" }},
		{weight: 1, make: func() { t.Constraints, t.NameKey = append(t.Constraints, "UNIQUE ({key})"), true }},
		{weight: 3, make: func() {
			id := typed{name: "INTEGER", values: []string{"1", "2", "3", "NULL", "NULL"}, bulk: "i"}
			for i, c := range t.Constraints {
				t.Constraints[i] = strings.ReplaceAll(c, fmt.Sprintf("{c%d}", len(t.Key)), "{c1}")
			}
			t.Columns[0], t.Key = g.column("id", id, "PRIMARY KEY"+g.one("", " AUTOINCREMENT")), []int{0}
			for i := range t.Columns[1:] {
				t.Columns[i+1].Suffix = strings.TrimPrefix(t.Columns[i+1].Suffix, "NOT NULL")
			}
		}},
		{weight: 2, make: func() {
			t.Columns[0].Suffix = ""
			t.Constraints = append(t.Constraints, "PRIMARY KEY ({key})")
		}},
		{weight: 1, make: func() {
			t.Columns[0].Suffix, t.NameKey = "", true
			t.Constraints = append(t.Constraints, "UNIQUE ({key})")
		}},
	})
	if strict {
		t.Suffix = strings.TrimSuffix("STRICT, "+t.Suffix, ", ")
	}
}

// sqliteTrigger gives the table a trigger of its user.
func (g *generator) sqliteTrigger(t *Table) {
	body := g.one(
		"BEFORE INSERT ON {t} WHEN NEW.{k0} = 2 BEGIN SELECT RAISE(IGNORE); END",
		"BEFORE DELETE ON {t} WHEN OLD.{k0} = 1 BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
		"AFTER DELETE ON {t} WHEN OLD.{k0} = 1 BEGIN SELECT RAISE(IGNORE); END",
		"AFTER INSERT ON {t} WHEN NEW.{k0} = 3 BEGIN SELECT RAISE(ABORT, 'no'); END",
	)
	if g.chance(4) {
		body = "BEFORE UPDATE ON {t} WHEN NEW.{k0} = 2 BEGIN SELECT RAISE(FAIL, 'no'); END"
	}
	last := len(t.Columns) - 1
	for t.Columns[last].Generated {
		last--
	}
	removes := "AFTER INSERT ON {t} WHEN NEW.{k0} = 1 BEGIN DELETE FROM {t} WHERE {k0} = 1; END"
	updates := fmt.Sprintf("AFTER INSERT ON {t} BEGIN UPDATE {t} SET {c%d} = 5 WHERE %s; END", last, g.whereNew(t))
	if fails := strings.Contains(t.Suffix, "STRICT") && t.Columns[last].Type == "BLOB"; fails && !g.allows(PartOfFailure) {
		updates = removes
	}
	body = g.one(body, removes, updates)
	t.After = append(t.After, "CREATE TRIGGER "+g.one("aaa", "zzz")+" "+body)
}

// whereNew is a condition on the row of a trigger, or on all that have the first
// part of its key: the statement may leave some of them out.
func (g *generator) whereNew(t *Table) string {
	keys := t.Key
	if g.allows(RowOrder) {
		keys = keys[:1]
	}
	parts := make([]string, len(keys))
	for i := range keys {
		parts[i] = fmt.Sprintf("{k%d} = NEW.{k%[1]d}", i)
	}
	return strings.Join(parts, " AND ")
}

// sqliteChild adds a table whose rows cascade.
func (g *generator) sqliteChild() {
	parent := g.script.Tables[0]
	if len(parent.Key) > 1 || parent.Create != "" {
		return
	}
	t := &Table{Name: "child", Captured: true, Key: []int{0}, Constraints: []string{"PRIMARY KEY ({key})"}}
	t.Columns = []Column{
		g.column("id", typed{name: "INTEGER", values: []string{"1", "2", "3"}, bulk: "i"}, "NOT NULL"),
		{Name: "up", Type: parent.Columns[0].Type, Values: parent.Columns[0].Values},
	}
	action := func() string { return g.one("CASCADE", "SET NULL", "CASCADE", "RESTRICT") }
	t.Constraints = append(t.Constraints, fmt.Sprintf("FOREIGN KEY (up) REFERENCES %s (%s) ON DELETE %s ON UPDATE %s%s",
		SQLite.Quote(parent.Name), SQLite.Quote(parent.Columns[0].Name), action(), action(), g.one("", " DEFERRABLE INITIALLY DEFERRED")))
	g.script.Tables = append(g.script.Tables, t)
}
