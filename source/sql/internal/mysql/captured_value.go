package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// form says how a column becomes text.
type form int

const (
	plain   form = iota // a number, or a text that is short
	text                // in some character set
	bytes               // hexadecimal
	spatial             // well-known text
	object              // JSON
)

func (d detail) form() form {
	switch kind := d.kind; {
	case strings.HasSuffix(kind, "blob"), strings.HasSuffix(kind, "binary"), kind == "bit":
		return bytes
	case strings.HasSuffix(kind, "char"), strings.HasSuffix(kind, "text"), kind == "enum", kind == "set":
		return text
	case kind == "json":
		return object
	case slices.Contains(geometry, kind):
		return spatial
	}
	return plain
}

var geometry = []string{
	"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
}

// column is that of OLD or NEW. A virtual column of a new row is computed before
// AUTO_INCREMENT has given its number, so it is read from the table.
func (c capture) column(row, name string) string {
	quoted := c.On.Quote(name)
	if row != "NEW" || !c.numbers || !c.details[name].virtual {
		return row + "." + quoted
	}
	var same []string
	for _, key := range c.Table.Key {
		same = append(same, "gapless_row."+c.On.Quote(key)+" = NEW."+c.On.Quote(key))
	}
	return "(SELECT gapless_row." + quoted + " FROM " + c.On.Log + " gapless_row WHERE " + strings.Join(same, " AND ") + ")"
}

// value is the column as JSON_OBJECT takes it: text in a character set that JSON
// takes, and the same whatever the session's settings.
func (c capture) value(row, name string) string {
	column, d := c.column(row, name), c.details[name]
	switch d.form() {
	case bytes:
		return "LOWER(HEX(" + column + "))"
	case text:
		return "CONVERT(" + column + " USING utf8mb4)"
	case spatial:
		return "ST_AsText(" + column + ")"
	case object:
		converted := "CONVERT(" + column + " USING utf8mb4)"
		return "JSON_EXTRACT(IF(JSON_VALID(" + converted + "), " + converted + ", JSON_QUOTE(" + converted + ")), '$')"
	}
	switch {
	case d.kind == "timestamp":
		return timestamp(column, d.precision)
	case d.zerofill, d.kind == "year": // 00005 is not JSON
		column = "(" + column + " + 0)"
	}
	if c.Table.NumbersAsText && (d.kind == "bigint" || d.kind == "decimal") {
		return "CAST(" + column + " AS CHAR CHARACTER SET utf8mb4)"
	}
	return column
}

// timestamp is in UTC, whatever the session's time zone.
func timestamp(column string, precision int) string {
	at := func(from string) string { return fmt.Sprintf("CAST(%s AS DATETIME(%d))", from, precision) }
	utc := "TIMESTAMPADD(MICROSECOND, CAST(UNIX_TIMESTAMP(" + column + ") * 1000000 AS SIGNED), CAST('1970-01-01 00:00:00' AS DATETIME(6)))"
	zero := "0000-00-00 00:00:00"
	if precision > 0 {
		zero += "." + strings.Repeat("0", precision)
	}
	return "IF(UNIX_TIMESTAMP(" + column + ") = 0, '" + zero + "', CAST(" + at(utc) + " AS CHAR CHARACTER SET utf8mb4))"
}

// keyPart is the column in a key. A FLOAT has its digits only as a DOUBLE.
func (c capture) keyPart(row, name string) string {
	if c.details[name].kind == "float" {
		return "CAST(" + c.column(row, name) + " AS DOUBLE)"
	}
	return c.value(row, name)
}

func (c capture) key(row string) string {
	return c.KeyText(func(name string) string { return c.keyPart(row, name) }, "JSON_ARRAY(%)", "CAST(% AS CHAR CHARACTER SET utf8mb4)")
}

func (c capture) topic(row string) string {
	parts := []string{literal(c.Table.Topic)}
	for _, name := range c.Table.TopicColumns {
		parts = append(parts, "'/'", engine.EscapeTopic("COALESCE(CAST("+c.keyPart(row, name)+" AS CHAR CHARACTER SET utf8mb4), '')"))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "CONCAT(" + strings.Join(parts, ", ") + ")"
}

// smallBytes is at least the length of a value that is a number or a time, as
// JSON with its comma.
const smallBytes = 100

// bound is at least the length of the value as JSON, quickly: each byte of a text
// may become six. Empty: a small value.
func (c capture) bound(row, name string) string {
	factor := map[form]int{text: 6, bytes: 2, spatial: 6, object: 6}[c.details[name].form()]
	if factor == 0 {
		return ""
	}
	return fmt.Sprintf("%d * COALESCE(LENGTH(%s), 0)", factor, c.column(row, name))
}

// size is the length as JSON, near enough, for rows whose bound is too large.
func (c capture) size(row, name string) string {
	if c.details[name].form() != text {
		return c.bound(row, name)
	}
	return "COALESCE(LENGTH(JSON_QUOTE(" + c.value(row, name) + ")), 0)"
}
