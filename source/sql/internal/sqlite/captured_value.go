package sqlite

import (
	"fmt"
	"slices"
	"strings"
)

// maxEventBytes is below the largest value that SQLite holds, a thousand
// million bytes.
const maxEventBytes = 900_000_000

// data is the event's Data with those rows, OLD where a condition holds. Where the
// rows together could be more than SQLite holds, it omits the values that are
// larger than their share.
//
// SQLite compiles the triggers of a table with each statement that is not
// prepared, so what is done with a value stands there once, over a table of the
// columns, and not once a column.
func (c capture) data(old string, rows ...string) string {
	share := maxEventBytes / (len(rows) * len(c.Table.Columns))
	var sizes, fits []string
	for i, row := range rows {
		shown := size(cell(i))
		if row == "OLD" {
			shown = when(old, shown, "0")
		}
		sizes, fits = append(sizes, shown), append(fits, fmt.Sprintf("%s <= %d", shown, share))
	}
	kept := "small OR " + strings.Join(fits, " AND ")
	object := func(row, condition string) string {
		i := slices.Index(rows, row)
		if i < 0 {
			return "'null'"
		}
		object := "json_group_object(column1, " + c.value(cell(i)) + ") FILTER (WHERE " + when(condition, kept, "false") + ")"
		return when(condition, object, "'null'")
	}
	members := c.members(rows)
	return fmt.Sprintf(`(SELECT '{"old":' || %s || ',"new":' || %s || CASE WHEN small THEN '' ELSE ',"omitted":' || json_group_object(column1, 'too large') FILTER (WHERE NOT (%s)) END || '}'`+
		" FROM %s CROSS JOIN (SELECT sum(%s) <= %d AS small FROM %s))",
		object("OLD", old), object("NEW", always), kept, members, strings.Join(sizes, " + "), maxEventBytes, members)
}

// always is a condition that is never asked.
const always = "true"

// when is then where the condition holds, and otherwise if it does not.
func when(condition, then, otherwise string) string {
	if condition == always {
		return then
	}
	return "CASE WHEN " + condition + " THEN " + then + " ELSE " + otherwise + " END"
}

// members is a table with a row for each column: its name, and its value in each
// of the rows. The plus keeps SQLite from calling a column of this table like the
// first one of the other.
func (c capture) members(rows []string) string {
	members := make([]string, len(c.Table.Columns))
	for i, name := range c.Table.Columns {
		members[i] = literal(name)
		for _, row := range rows {
			members[i] += ", +" + c.column(row, name)
		}
	}
	return "(VALUES (" + strings.Join(members, "), (") + "))"
}

// cell is the value in row i of members.
func cell(i int) string { return fmt.Sprintf("column%d", i+2) }

func (c capture) column(row, name string) string { return row + "." + c.On.Quote(name) }

// size is at least the length of a value as JSON, where each byte may become six.
func size(column string) string {
	return "CASE typeof(" + column + ") WHEN 'text' THEN 6 * length(CAST(" + column + " AS BLOB)) WHEN 'blob' THEN 2 * length(" + column + ") ELSE 30 END"
}

// value is a column as json_group_object takes it. A text is one whatever function
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
