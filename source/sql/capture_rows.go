package sqllog

import (
	"slices"
	"strings"
)

// SQLite and MySQL have row-level triggers only. An update that changes the
// key is told apart by a second trigger on SQLite, by an IF on MySQL.

func (c *capture) sqliteTriggers() []trigger {
	changed, rekeyed := c.sqliteDiffers(c.table.Watch), c.sqliteDiffers(c.table.Key)
	deleted, inserted := c.sqliteInsert("delete", "OLD", true, false), c.sqliteInsert("insert", "NEW", false, true)
	define := func(suffix, event, when, body string) trigger {
		name := c.name(suffix)
		if when != "" {
			when = " WHEN " + when
		}
		rest := " AFTER " + event + " ON " + c.on.quote(c.on.table) + " FOR EACH ROW" + when + " BEGIN " + body + " END"
		return trigger{name, "CREATE TRIGGER " + c.on.qualify(name) + rest, "CREATE TRIGGER " + c.on.quote(name) + rest}
	}
	return []trigger{
		define("insert", "INSERT", "", inserted),
		define("update", "UPDATE", "NOT ("+rekeyed+") AND ("+changed+")", c.sqliteInsert("update", "NEW", true, true)),
		define("rekey", "UPDATE", rekeyed, deleted+" "+inserted),
		define("delete", "DELETE", "", deleted),
	}
}

// sqliteDiffers compares bytes, whatever the columns' collations.
func (c *capture) sqliteDiffers(columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		q := c.on.quote(name)
		parts[i] = "OLD." + q + " IS NOT NEW." + q + " COLLATE BINARY"
	}
	return strings.Join(parts, " OR ")
}

func (c *capture) sqliteRow(alias string, present bool) string {
	if !present {
		return "NULL"
	}
	parts := make([]string, len(c.table.Columns))
	for i, name := range c.table.Columns {
		parts[i] = literal(SQLite, name) + ", " + c.value(alias, name)
	}
	return "json_object(" + strings.Join(parts, ", ") + ")"
}

func sqliteValue(column string) string {
	return "CASE typeof(" + column + ") WHEN 'blob' THEN lower(hex(" + column + ")) ELSE " + column + " END"
}

// mysqlValue is text in a character set that JSON takes: what it does not take
// would make the user's statement fail.
func mysqlValue(kind, column string) string {
	switch {
	case strings.HasSuffix(kind, "blob"), strings.HasSuffix(kind, "binary"), kind == "bit":
		return "LOWER(HEX(" + column + "))"
	case strings.HasSuffix(kind, "char"), strings.HasSuffix(kind, "text"), kind == "enum", kind == "set":
		return "CONVERT(" + column + " USING utf8mb4)"
	case slices.Contains(mysqlGeometry, kind):
		return "ST_AsText(" + column + ")"
	}
	return column
}

var mysqlGeometry = []string{
	"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
}

func (c *capture) sqliteInsert(what, keyOf string, before, after bool) string {
	s := c.settings
	data := "json_object('old', " + c.sqliteRow("OLD", before) + ", 'new', " + c.sqliteRow("NEW", after) + ")"
	now := sqliteNow
	if s.Columns != nil {
		now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	names, values := []string{}, []string{}
	for _, f := range [...]struct{ column, value string }{
		{s.columns.Topic, literal(SQLite, c.table.Topic)},
		{s.columns.Type, literal(SQLite, c.table.Type+"."+what)},
		{s.columns.Key, c.keyText(keyOf, "json_array(%)", "CAST(% AS TEXT)")},
		{s.columns.Data, data},
		{s.columns.Time, now},
	} {
		if f.column != "" {
			names, values = append(names, s.names.quote(f.column)), append(values, f.value)
		}
	}
	return "INSERT INTO " + s.names.quote(s.names.table) + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ");"
}

func (c *capture) mysqlTriggers() []trigger {
	deleted, inserted := c.mysqlInsert("delete", "OLD", true, false), c.mysqlInsert("insert", "NEW", false, true)
	updated := "IF " + c.mysqlDiffers(c.table.Key) + " THEN " + deleted + " " + inserted +
		" ELSEIF " + c.mysqlDiffers(c.table.Watch) + " THEN " + c.mysqlInsert("update", "NEW", true, true) + " END IF;"
	define := func(suffix, body string) trigger {
		name := c.name(suffix)
		when, body := "AFTER "+strings.ToUpper(suffix), "BEGIN "+body+" END"
		return trigger{name, "CREATE TRIGGER " + c.on.qualify(name) + " " + when + " ON " + c.on.log + " FOR EACH ROW " + body, when + " " + body}
	}
	return []trigger{define("insert", inserted), define("update", updated), define("delete", deleted)}
}

// mysqlDiffers compares bytes, whatever the columns' collations.
func (c *capture) mysqlDiffers(columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		q := c.on.quote(name)
		parts[i] = "NOT (CAST(OLD." + q + " AS BINARY) <=> CAST(NEW." + q + " AS BINARY))"
	}
	return strings.Join(parts, " OR ")
}

func (c *capture) mysqlRow(alias string, present bool) string {
	if !present {
		return "NULL"
	}
	parts := make([]string, len(c.table.Columns))
	for i, name := range c.table.Columns {
		value := c.value(alias, name)
		if c.kinds[name].kind == "json" {
			value = "JSON_EXTRACT(" + value + ", '$')"
		}
		parts[i] = literal(MySQL, name) + ", " + value
	}
	return "JSON_OBJECT(" + strings.Join(parts, ", ") + ")"
}

func (c *capture) mysqlInsert(what, keyOf string, before, after bool) string {
	return "INSERT INTO " + c.settings.names.inbox + " (topic, type, `key`, time, data) VALUES (" + literal(MySQL, c.table.Topic) + ", " +
		literal(MySQL, c.table.Type+"."+what) + ", " + c.keyText(keyOf, "JSON_ARRAY(%)", "CAST(% AS CHAR CHARACTER SET utf8mb4)") + ", " + mysqlNow +
		", CONVERT(JSON_OBJECT('old', " + c.mysqlRow("OLD", before) + ", 'new', " + c.mysqlRow("NEW", after) + ") USING utf8mb4));"
}

// mysqlSchemaName is an expression: the schema of the captured table.
func (c *capture) mysqlSchemaName() string {
	if c.on.schema == "" {
		return "database()"
	}
	return literal(MySQL, c.on.schema)
}
