package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// rowWriter writes expressions about one row, which goes by an alias: o of the
// rows before, n of those after, t of the table as it is now.
type rowWriter struct {
	plan
	// moved says that the statement is made when it runs, because the table or
	// its columns have other names than at install: see movedStatement.
	moved bool
}

// ref is the column.
func (w rowWriter) ref(alias, name string) string {
	if w.moved {
		return fmt.Sprintf("<<%s.%d>>", alias, w.columns[name].number)
	}
	return alias + "." + w.On.Quote(name)
}

// table is the captured one.
func (w rowWriter) table() string {
	if w.moved {
		return "<<table>>"
	}
	return w.On.Log
}

// keyValue is the column as it stands in a key. What JSON would write with less
// than the text says is written as text.
func (w rowWriter) keyValue(alias, name string) string {
	ref, c := w.ref(alias, name), w.columns[name]
	switch {
	case c.kind == "bytea":
		return "encode(" + ref + ", 'hex')"
	case c.element != "", c.composite, c.kind == "record":
		return ref + "::text"
	}
	return ref
}

// key is the text of the key. It is compared byte by byte, because what two
// collations or types call equal can be two texts.
func (w rowWriter) key(alias string) string {
	return `(` + w.KeyText(func(name string) string { return w.keyValue(alias, name) }, "json_build_array(%)::text", "(%)::text") + `) COLLATE "C"`
}

// topic of a row.
func (w rowWriter) topic(alias string) string {
	parts := []string{literal(w.Table.Topic)}
	for _, name := range w.Table.TopicColumns {
		parts = append(parts, engine.EscapeTopic("coalesce("+w.keyValue(alias, name)+"::text, '')"))
	}
	return strings.Join(parts, " || '/' || ")
}

// same says that two rows have one key and one topic.
func (w rowWriter) same(x, y string) string {
	same := w.key(x) + " = " + w.key(y)
	if len(w.Table.TopicColumns) > 0 {
		same += " AND (" + w.topic(x) + `) COLLATE "C" = (` + w.topic(y) + `) COLLATE "C"`
	}
	return same
}

// row is the row as JSON.
func (w rowWriter) row(alias string) string {
	if w.moved {
		return "<<row." + alias + ">>"
	}
	columns := make([]string, len(w.Table.Columns))
	for i, name := range w.Table.Columns {
		columns[i] = w.value(alias, name) + " AS " + w.On.Quote(name)
	}
	return "(SELECT row_to_json(r.*) FROM (SELECT " + strings.Join(columns, ", ") + ") r)"
}

// intoJSONB says that Data is stored as jsonb, which does not take all of json.
func (w rowWriter) intoJSONB() bool { return w.Target[w.Settings.Columns.Data].Kind == "jsonb" }

// inexact are the types whose values JavaScript reads as another number.
var inexact = []string{"bigint", "numeric"}

// value is the column as it stands in JSON.
func (w rowWriter) value(alias, name string) string {
	ref, c := w.ref(alias, name), w.columns[name]
	switch {
	case c.kind == "bytea":
		return "encode(" + ref + ", 'hex')"
	case w.Table.NumbersAsText && slices.Contains(inexact, c.kind):
		return ref + "::text"
	case w.Table.NumbersAsText && slices.Contains(inexact, c.element):
		return ref + "::text[]"
	case w.intoJSONB() && (c.kind == "json" || c.element == "json" || c.composite):
		return jsonbSafe("to_json(" + ref + ")")
	}
	return ref
}

// jsonbSafe is a json value that casts to jsonb: what jsonb does not take, a NUL,
// half of a surrogate pair or a number out of range, makes a text of the whole
// value. Whole pairs, escaped backslashes and digits in strings are harmless, and
// are taken out only where a first look finds something.
func jsonbSafe(value string) string {
	const (
		escape  = `'\\u(0000|[dD][89a-fA-F])'`
		pairs   = `'\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'`
		number  = `'[0-9][eE][-+]?[0-9]{5}|[0-9]{255}'`
		strings = `'"([^"\\]|\\.)*"'`
	)
	text := value + "::text"
	return "(CASE WHEN " + text + " ~ " + escape + " AND regexp_replace(" + text + ", " + pairs + ", '', 'g') ~ " + escape +
		" OR " + text + " ~ " + number + " AND regexp_replace(" + text + ", " + strings + ", '', 'g') ~ " + number +
		" THEN to_json(" + text + ") ELSE " + value + " END)"
}

// differ says that the watched columns of two rows differ, byte by byte: not all
// types have an equality.
func (w rowWriter) differ(x, y string) string {
	if w.moved {
		return w.row(x) + "::text <> " + w.row(y) + "::text"
	}
	return w.record(x) + " *<> " + w.record(y)
}

// record has the watched columns. ROW(…) would compare by their operators.
func (w rowWriter) record(alias string) string {
	record := "r"
	for slices.Contains(w.Table.Watch, record) { // a column would be meant
		record += "r"
	}
	columns := make([]string, len(w.Table.Watch))
	for i, name := range w.Table.Watch {
		columns[i] = w.ref(alias, name) + " AS " + w.On.Quote(name)
	}
	return "(SELECT " + record + " FROM (SELECT " + strings.Join(columns, ", ") + ") " + record + ")"
}

// current is a scalar subquery: what of t, the row that the table has now for
// the key of a row; NULL if there is none. It is an index scan for each row,
// never a join.
func (w rowWriter) current(of, what, condition string) string {
	where := make([]string, 0, len(w.equals)+1)
	for _, k := range w.Table.Key {
		if operator := w.equals[k]; operator != "" {
			where = append(where, w.ref("t", k)+" "+operator+" "+w.ref(of, k))
		}
	}
	return "(SELECT " + what + " FROM " + w.table() + " t WHERE " + strings.Join(append(where, condition), " AND ") + " LIMIT 1)"
}
