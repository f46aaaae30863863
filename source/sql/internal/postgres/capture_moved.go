package postgres

import (
	"strconv"
	"strings"
)

// movedStatements do the same as the static ones, with the names of now: writes
// go on when the table was renamed or moved, or its columns were renamed, dropped
// or got another type. Columns are found by their number; one that is gone is
// NULL in a key, and missing from a row.
func (p plan) movedStatements() string {
	w := rowWriter{plan: p, moved: true}
	run := func(sql string) string {
		return "gapless_sql := " + literal(sql) + strings.ReplaceAll(movedRun, "NUMBERS", p.numbers(p.used()))
	}
	return strings.NewReplacer("CAPTURED", p.numbers(p.Table.Columns), "CASES", p.movedCases()).Replace(`
		SELECT coalesce(string_agg(CASE CASES ELSE format('<<alias>>.%1$I AS %1$I', a.attname) END, ', ' ORDER BY a.attnum), '') INTO gapless_columns
			FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = gapless_table AND a.attnum IN (CAPTURED) AND NOT a.attisdropped;
`) + p.statements(w, run)
}

// numbers of the columns.
func (p plan) numbers(names []string) string {
	numbers := make([]string, len(names))
	for i, name := range names {
		numbers[i] = strconv.Itoa(p.columns[name].number)
	}
	return strings.Join(numbers, ", ")
}

// movedCases are those of value for the types of now.
func (p plan) movedCases() string {
	const base = " WHEN coalesce(nullif(y.typbasetype, 0), y.oid) "
	format := func(expression string) string {
		return " THEN format(" + literal(expression+" AS %1$I") + ", a.attname)"
	}
	cases := base + "= 'bytea'::regtype" + format("encode(<<alias>>.%1$I, 'hex')")
	if p.Table.NumbersAsText {
		cases += base + "IN ('bigint'::regtype, 'numeric'::regtype)" + format("<<alias>>.%1$I::text") +
			base + "IN ('bigint[]'::regtype, 'numeric[]'::regtype)" + format("<<alias>>.%1$I::text[]")
	}
	if (rowWriter{plan: p}).intoJSONB() {
		cases += base + "IN ('json'::regtype, 'json[]'::regtype) OR y.typtype = 'c'" + format(jsonbSafe("to_json(<<alias>>.%1$I)"))
	}
	return cases
}

// movedRun puts the names in and runs the statement.
const movedRun = `;
			FOR gapless_column IN SELECT x.alias, y.number, a.attname FROM unnest(ARRAY['o', 'n', 't']) x(alias) CROSS JOIN unnest(ARRAY[NUMBERS]) y(number)
				LEFT JOIN pg_attribute a ON a.attrelid = gapless_table AND a.attnum = y.number AND NOT a.attisdropped LOOP
				gapless_sql := replace(gapless_sql, '<<' || gapless_column.alias || '.' || gapless_column.number || '>>',
					coalesce(gapless_column.alias || '.' || quote_ident(gapless_column.attname), 'NULL::text'));
				gapless_sql := replace(gapless_sql, '<<row.' || gapless_column.alias || '>>',
					'(SELECT row_to_json(r.*) FROM (SELECT ' || replace(gapless_columns, '<<alias>>', gapless_column.alias) || ') r)');
			END LOOP;
			EXECUTE replace(replace(gapless_sql, '<<table>>', gapless_table::regclass::text), 'gapless_meta', coalesce(quote_literal(gapless_meta), 'NULL'))`
