package capture

import (
	"fmt"
	"slices"
	"strings"
)

// mariadb makes a script for MariaDB.
func (g *generator) mariadb() {
	g.mariadbTable()
	if g.chance(6) {
		g.mariadbChild()
	}
	for range 5 + g.IntN(15) {
		g.mariadbStep()
	}
	if g.chance(2) && g.open {
		g.run("COMMIT")
	}
}

func maria(name string, values ...string) typed { return typed{name: name, values: values} }

// mariadbKeyTypes can be in a primary key.
func mariadbKeyTypes() []typed {
	text := []string{"'a'", "'b'", "''", "'é'", "'1'", "'null'", `'it''s "q"'`, "'[1, 2]'", "X'5C27'"}
	return []typed{
		maria("INT", "1", "2", "3", "-1").counts("seq"),
		maria("INT UNSIGNED", "1", "2", "4294967295").counts("seq"),
		maria("BIGINT UNSIGNED", "1", "18446744073709551615", "9007199254740993").counts("seq"),
		maria("BIGINT", "1", "-9223372036854775808").counts("seq"),
		maria("SMALLINT ZEROFILL", "1", "2", "300").counts("seq"),
		maria("DECIMAL(10,2)", "1", "2.50", "-0.01").counts("seq"),
		maria("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", text...).counts("CONCAT('k', seq)"),
		maria("VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin", "'a'", "'b'", "'A'").counts("CONCAT('k', seq)"),
		maria("VARBINARY(9)", "X'00ff'", "''", "'a'").counts("seq"),
		maria("BINARY(4)", "X'00ff0102'", "'abcd'").counts("LPAD(seq, 4, '0')"),
		maria("DATE", "'2026-01-02'", "'9999-12-31'").counts("'2000-01-01' + INTERVAL seq DAY"),
		maria("DATETIME(6)", "'2026-01-02 03:04:05.000001'", "'2026-01-02'").counts("'2000-01-01' + INTERVAL seq SECOND"),
		maria("TIME(3)", "'-838:59:59'", "'01:02:03.5'").counts("SEC_TO_TIME(seq)"),
		maria("YEAR", "2026", "1999"),
		maria("YEAR", "2026", "0"),
		maria("BIT(5)", "b'10101'", "b'0'"),
		maria("ENUM('a','it''s','é') COLLATE utf8mb4_bin", "'a'", "'it''s'", "'é'"),
		maria("SET('x','y') COLLATE utf8mb4_bin", "'x'", "'x,y'", "''"),
		maria("UUID", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000001'"),
		maria("INET6", "'::1'", "'::ffff:10.0.0.1'"),
		maria("INET4", "'10.0.0.1'", "'0.0.0.0'"),
		maria("BOOLEAN", "TRUE", "FALSE", "2"),
		maria("DOUBLE", "1.5", "2", "1e300", "-0.0"),
		maria("FLOAT", "0.5", "2", "1e30", "16777217"),
		maria("VARCHAR(20)", "'a'", "'A'", "'b'", "'á'", "'a '").counts("CONCAT('k', seq)"),
		maria("CHAR(5)", "'a'", "'A'", "'b '", "'é'").counts("CONCAT('k', seq)"),
		maria("ENUM('a','b')", "'a'", "'b'", "1"),
		maria("VARCHAR(20) CHARACTER SET latin1", "'a'", "'Ä'", "'ä'"),
	}
}

func mariadbTypes() []typed {
	types := append(mariadbKeyTypes(),
		maria("TEXT", "'x'", "''", `'quote " and \\ and tab	'`, "'🙂'", "CHAR(0 USING utf8mb4)", "REPEAT('long ', 1000)", "CHAR(1, 31, 127 USING utf8mb4)", "'NaN'"),
		maria("LONGTEXT CHARACTER SET latin1", "'x'", "'Äé'", "X'80'"),
		maria("TEXT CHARACTER SET ucs2", "'x'", "'Ω'"),
		maria("TEXT CHARACTER SET utf16", "'x'", "'🙂'"),
		maria("TINYBLOB", "X'00ff'", "''", "'abc'"), maria("LONGBLOB", "REPEAT(X'ff', 3000)", "'x'"),
		maria("BIT(64)", "b'1'", "X'ffffffffffffffff'"),
		maria("DECIMAL(65,30)", "1.5", "12345678901234567890123456789012345.123456789012345678901234567891", "-0.0"),
		maria("DECIMAL(5,0) ZEROFILL", "1", "99999"),
		maria("DOUBLE", "0.1", "1e300", "5e-324", "-0.0", "1.7976931348623157e308"),
		maria("FLOAT", "0.1", "3.4e38", "1e-40", "16777217"), maria("FLOAT(7,2)", "1.25", "99999.99"),
		maria("JSON", `'{"a":1}'`, `'[1, 2]'`, `'"x"'`, "'null'", `'{"a":1,"a":2}'`, `'1e400'`, `'"\\u0000"'`, `'"\\ud800"'`),
		maria("POINT", "POINT(1, 2)", "POINT(-0.5, 1e300)"), maria("GEOMETRY", "ST_GeomFromText('LINESTRING(0 0, 1 1)')", "POINT(1, 2)"),
		maria("POLYGON", "ST_GeomFromText('POLYGON((0 0, 1 1, 1 0, 0 0))')"),
		maria("VARCHAR(50) INVISIBLE", "'x'", "'y'"),
		maria("TEXT COMPRESSED", "'x'", "REPEAT('y', 500)"), maria("BLOB COMPRESSED", "X'ff00'"),
		maria("TINYINT(1)", "1", "0", "-128"), maria("MEDIUMINT UNSIGNED", "1", "16777215"),
		maria("DATE", "'2026-01-02'", "'0000-00-00'", "'2026-00-00'"), maria("DATETIME", "'2026-01-02 03:04:05'", "'0000-00-00 00:00:00'"),
		maria("VARCHAR(20) CHARACTER SET binary", "'x'", "X'ff'"), maria("NVARCHAR(5)", "'x'", "'é'"),
		maria("LONGTEXT", "'x'", "REPEAT('y', 1100000)"), maria("LONGBLOB", "'x'", "REPEAT('y', 600000)"),
	)
	for i := range types {
		types[i].bulk = ""
	}
	return types
}

// mariadbType draws a type. A table has one large column at most, so that a row
// of it fits into a packet.
func (g *generator) mariadbType(t *Table) typed {
	for {
		drawn := g.pick(mariadbTypes())
		if !largeColumn(Column{Type: drawn.name}) || !slices.ContainsFunc(t.Columns, largeColumn) {
			return drawn
		}
	}
}

func largeColumn(c Column) bool { return c.Type == "LONGTEXT" || c.Type == "LONGBLOB" }

func (g *generator) mariadbTable() {
	t := &Table{Captured: true, Name: g.oddName("orders", "Größe", "select", `it's "q"`, "UPPER", "a%s", `back\\slash`, "new", "old", strings.Repeat("n", 64), "a`b", "--x", "a;b", "{x}", strings.Repeat("é", 60))}
	if g.chance(12) {
		t.Schema = g.one("other d"+twin, "other `q` d"+twin)
		g.before("CREATE DATABASE " + MariaDB.Quote(t.Schema))
	}
	if g.chance(40) {
		t.Create, t.Schema = "CREATE TEMPORARY TABLE", ""
	}
	names := []string{"id", g.one("Key1", "order"), g.one("é", "k`3")}
	size := 1
	if g.chance(3) {
		size = 2 + g.IntN(2)
	}
	for i := range size {
		t.Columns = append(t.Columns, g.column(names[i], g.pick(mariadbKeyTypes()), "NOT NULL"))
		t.Key = append(t.Key, i)
	}
	others := []string{"a", "b", g.one("new", "old", "data", "c"), g.one("%", "select", "x"), g.one(`"`, "e'", `f\`), "key", "topic"}
	for i := range 1 + g.IntN(6) {
		t.Columns = append(t.Columns, g.column(others[i], g.mariadbType(t), ""))
	}
	if g.chance(5) && !strings.Contains(t.Columns[size].Type, "COMPRESSED") {
		t.Constraints = append(t.Constraints, fmt.Sprintf("UNIQUE ({c%d}%s)", size, prefixLength(t.Columns[size].Type)))
	}
	g.mariadbKey(t)
	if number := strings.HasSuffix(t.Columns[0].Suffix, "AUTO_INCREMENT"); strings.HasPrefix(t.Columns[0].Type, "INT") && g.chance(2) {
		t.Columns = append(t.Columns, Column{Name: "made", Type: "VARCHAR(40)", Suffix: "AS (md5(id)) " + g.one("PERSISTENT", "VIRTUAL"), Values: []string{"NULL"}, Generated: true})
		if number {
			t.Columns[len(t.Columns)-1].Suffix = "AS (md5(id)) VIRTUAL"
		}
	}
	t.Suffix = g.one("", "", "", "DEFAULT CHARACTER SET latin1 ", "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci ", "ROW_FORMAT=COMPRESSED ") + t.Suffix
	if g.chance(20) {
		t.Suffix = "WITH SYSTEM VERSIONING"
	}
	if g.chance(10) {
		t.Suffix = "ENGINE=" + g.one("Aria", "MyISAM")
	}
	if g.chance(5) && t.Schema == "" && !strings.Contains(t.Create, "TEMPORARY") { // a trigger is made in its table's database
		t.After = append(t.After, g.mariadbTrigger())
	}
	g.script.Tables = append(g.script.Tables, t)
}

// prefixLength is what an index on a column of the type needs.
func prefixLength(kind string) string {
	if strings.Contains(kind, "TEXT") || strings.Contains(kind, "BLOB") || strings.Contains(kind, "JSON") || strings.Contains(kind, "GEO") || strings.Contains(kind, "POLY") {
		return "(20)"
	}
	return ""
}

// mariadbKey draws how the key is one.
func (g *generator) mariadbKey(t *Table) {
	g.choose([]weighted{
		{weight: 8, make: func() { t.Constraints = append(t.Constraints, "PRIMARY KEY ({key})") }},
		{weight: 1, make: func() { t.Constraints, t.NameKey = append(t.Constraints, "UNIQUE ({key})"), true }},
		{weight: 1, make: func() {
			t.Constraints, t.Suffix = append(t.Constraints, "PRIMARY KEY ({key})"), "PARTITION BY KEY ({k0}) PARTITIONS 3"
		}},
		{weight: 3, make: func() {
			t.Columns[0] = g.column("id", maria("INT", "1", "2", "3", "NULL", "DEFAULT").counts("seq"), "NOT NULL AUTO_INCREMENT")
			t.Constraints = append(t.Constraints, "PRIMARY KEY ({key})")
		}},
		{weight: 1, make: func() {
			t.Columns[0].Suffix, t.NameKey = "", true
			t.Constraints = append(t.Constraints, "UNIQUE ({key})")
		}},
	})
	if t.Suffix != "" {
		t.Constraints = t.Constraints[len(t.Constraints)-1:] // another key would need all columns of the partitioning
	}
}

// mariadbTrigger is a trigger of the table's user.
func (g *generator) mariadbTrigger() string {
	return "CREATE TRIGGER user_trigger " + g.one(
		"BEFORE INSERT ON {t} FOR EACH ROW SET @seen = coalesce(@seen, 0) + 1",
		"BEFORE UPDATE ON {t} FOR EACH ROW IF OLD.{k0} = 2 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF",
		"AFTER INSERT ON {t} FOR EACH ROW IF NEW.{k0} = 3 THEN SIGNAL SQLSTATE '45000'; END IF",
		"AFTER DELETE ON {t} FOR EACH ROW SET @gone = last_insert_id()",
	)
}

// mariadbChild adds a table that refers to the first one.
func (g *generator) mariadbChild() {
	parent := g.script.Tables[0]
	if len(parent.Key) > 1 || parent.Create != "" || parent.Suffix != "" || parent.NameKey {
		return
	}
	t := &Table{Name: "child", Captured: true, Key: []int{0}, Constraints: []string{"PRIMARY KEY ({key})"}}
	t.Columns = []Column{
		g.column("id", maria("INT", "1", "2", "3").counts("seq"), "NOT NULL"),
		{Name: "up", Type: parent.Columns[0].Type, Values: parent.Columns[0].Values},
	}
	t.Constraints = append(t.Constraints, fmt.Sprintf("FOREIGN KEY (up) REFERENCES %s (%s)", parent.QualifiedName(MariaDB), MariaDB.Quote(parent.Columns[0].Name)))
	g.script.Tables = append(g.script.Tables, t)
}
