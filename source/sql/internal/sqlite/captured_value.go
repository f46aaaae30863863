package sqlite

import (
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// maxEventBytes is below the largest value that SQLite holds, a thousand
// million bytes.
const maxEventBytes = 900_000_000

// data is the event's Data. Where the rows together could be more than SQLite
// holds, it omits the large values.
func (c capture) data(rows []string) string {
	var sizes []string
	for _, row := range rows {
		for _, name := range c.Table.Columns {
			sizes = append(sizes, size(c.column(row, name)))
		}
	}
	return fmt.Sprintf("CASE WHEN %s <= %d THEN json_object('old', %s, 'new', %s) ELSE %s END", strings.Join(sizes, " + "), maxEventBytes,
		c.row("OLD", rows), c.row("NEW", rows), c.shortened(rows))
}

func (c capture) column(row, name string) string { return row + "." + c.On.Quote(name) }

// size is at least the length of a value as JSON, where each byte may become six.
func size(column string) string {
	return "CASE typeof(" + column + ") WHEN 'text' THEN 6 * length(CAST(" + column + " AS BLOB)) WHEN 'blob' THEN 2 * length(" + column + ") ELSE 30 END"
}

func contains(rows []string, row string) bool { return strings.Contains(strings.Join(rows, " "), row) }

func (c capture) row(row string, rows []string) string {
	if !contains(rows, row) {
		return "NULL"
	}
	parts := make([]string, len(c.Table.Columns))
	for i, name := range c.Table.Columns {
		parts[i] = literal(name) + ", " + c.value(c.column(row, name))
	}
	return "json_object(" + strings.Join(parts, ", ") + ")"
}

// shortened is the event's Data without the values that are larger than their
// share.
func (c capture) shortened(rows []string) string {
	share := maxEventBytes / (len(rows) * len(c.Table.Columns))
	var omitted []string
	for _, name := range c.Table.Columns {
		var large []string
		for _, row := range rows {
			large = append(large, fmt.Sprintf("%s > %d", size(c.column(row, name)), share))
		}
		omitted = append(omitted, "SELECT CASE WHEN "+strings.Join(large, " OR ")+" THEN "+literal(engine.JSONText(name)+`:"too large"`)+" END AS j")
	}
	object := func(row string) string {
		if !contains(rows, row) {
			return "'null'"
		}
		var parts []string
		for i, name := range c.Table.Columns {
			parts = append(parts, strings.Replace(omitted[i], " THEN "+literal(engine.JSONText(name)+`:"too large"`)+" END",
				" THEN NULL ELSE "+literal(engine.JSONText(name)+":")+" || json_quote("+c.value(c.column(row, name))+") END", 1))
		}
		return joined(parts)
	}
	return `'{"old":' || ` + object("OLD") + ` || ',"new":' || ` + object("NEW") + ` || ',"omitted":' || ` + joined(omitted) + " || '}'"
}

// joined is an object of the members that are not NULL.
func joined(members []string) string {
	return "(SELECT '{' || coalesce(group_concat(j, ','), '') || '}' FROM (" + strings.Join(members, " UNION ALL ") + "))"
}

// value is a column as json_object takes it. A text is one whatever function
// made it: SQLite would take what a JSON function has returned as JSON.
func (c capture) value(column string) string {
	integer := column
	if c.Table.NumbersAsText {
		integer = "CAST(" + column + " AS TEXT)"
	}
	return "CASE typeof(" + column + ") WHEN 'text' THEN '' || " + column + " WHEN 'blob' THEN lower(hex(" + column + "))" +
		" WHEN 'real' THEN CASE WHEN " + finite(column) + " THEN json(" + numeral(column) + ") WHEN " + column + " > 0 THEN 'Infinity' ELSE '-Infinity' END" +
		" ELSE " + integer + " END"
}

func finite(column string) string {
	return column + " BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
}

// numeral is a real number in the fewest digits that stand for no other.
func numeral(column string) string {
	short := "printf('%!.15g', " + column + ")"
	return "CASE WHEN CAST(" + short + " AS REAL) = " + column + " THEN " + short + " ELSE printf('%!.17g', " + column + ") END"
}

// key is the key's text.
func (c capture) key(row string) string {
	if len(c.Table.Key) == 1 {
		return c.keyPart(row, c.Table.Key[0])
	}
	parts := make([]string, len(c.Table.Key))
	for i, name := range c.Table.Key {
		column := c.column(row, name)
		parts[i] = "CASE WHEN typeof(" + column + ") = 'integer' THEN " + column +
			" WHEN typeof(" + column + ") = 'real' AND " + finite(column) + " THEN json(" + numeral(column) + ") ELSE " + c.keyPart(row, name) + " END"
	}
	return "json_array(" + strings.Join(parts, ", ") + ")"
}

// keyPart is a text of a value that no other value of the column has. A column
// takes values of types that it was not declared with: 1, '1' and x'31' are three
// keys of a column without a type. What could be taken for a value of the declared
// type is marked: a text with a quote before it, bytes as x'31', a number among
// bytes as (31).
func (c capture) keyPart(row, name string) string {
	column := c.column(row, name)
	bytes, prefix, number := "'x''' || lower(hex("+column+")) || ''''", column+" GLOB '''*' OR "+column+" GLOB 'x''*'", "%s"
	switch affinityOf(c.Kinds[name].Kind) {
	case "blob":
		bytes, prefix, number = "lower(hex("+column+"))", "true", "'(' || %s || ')'"
	case "none":
		prefix += " OR " + column + " GLOB '[0-9-]*'"
	}
	infinite := "CASE WHEN " + column + " > 0 THEN '9.0e+999' ELSE '-9.0e+999' END"
	return "CASE typeof(" + column + ") WHEN 'text' THEN CASE WHEN " + prefix + " THEN '''' ELSE '' END || " + column + " WHEN 'blob' THEN " + bytes +
		" WHEN 'real' THEN " + fmt.Sprintf(number, "CASE WHEN "+finite(column)+" THEN "+numeral(column)+" ELSE "+infinite+" END") +
		" ELSE " + fmt.Sprintf(number, "CAST("+column+" AS TEXT)") + " END"
}

// affinityOf is what SQLite makes of a declared type, none where there is no type.
func affinityOf(kind string) string {
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(kind, part) {
				return true
			}
		}
		return false
	}
	switch {
	case kind == "", kind == "any":
		return "none"
	case has("int"):
		return "number"
	case has("char", "clob", "text"):
		return "text"
	case has("blob"):
		return "blob"
	}
	return "number"
}
