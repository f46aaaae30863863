package capture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"
)

// Outcome is what a statement answered.
type Outcome struct {
	Error    string // code, and the message where it is of the statement alone
	Affected int64
	Rows     []string // in an order of their own
}

// execute runs a statement in its session.
func execute(ctx context.Context, conn *sql.Conn, text string, query bool) Outcome {
	if query {
		rows, err := queryText(ctx, conn, text)
		return Outcome{Error: describe(err), Rows: rows}
	}
	result, err := conn.ExecContext(ctx, text)
	if err != nil {
		return Outcome{Error: describe(err)}
	}
	affected, err := result.RowsAffected()
	return Outcome{Error: describe(err), Affected: affected}
}

// queryText returns each row as one text, sorted.
func queryText(ctx context.Context, conn *sql.Conn, text string) ([]string, error) {
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	all := []string{}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		parts := make([]string, len(values))
		for i, v := range values {
			if bytes, ok := v.([]byte); ok {
				v = string(bytes)
			}
			parts[i] = fmt.Sprintf("%v", v)
		}
		all = append(all, twinName.ReplaceAllString(strings.Join(parts, " | "), "twin"))
	}
	slices.Sort(all)
	return all, rows.Err()
}

// describe is an error without what differs between the twins by nature.
func describe(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Code, e.Message, e.Table, e.Constraint))
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return fmt.Sprintf("%d %s", e.Number, twinName.ReplaceAllString(e.Message, "twin"))
	}
	return err.Error()
}

// twinName is the name of a database of the tests.
var twinName = regexp.MustCompile(`\bd[0-9]+\b`)

// compare says how the captured twin's outcome differs.
func compare(plain, captured Outcome) *Difference {
	switch {
	case plain.Error != captured.Error:
		return &Difference{Kind: "error", Detail: fmt.Sprintf("without capture %q, with it %q", plain.Error, captured.Error)}
	case plain.Affected != captured.Affected:
		return &Difference{Kind: "affected", Detail: fmt.Sprintf("%d rows without capture, %d with it", plain.Affected, captured.Affected)}
	case !slices.Equal(plain.Rows, captured.Rows):
		return &Difference{Kind: "rows", Detail: unlike(plain.Rows, captured.Rows, "without capture", "with it")}
	}
	return nil
}

// unlike shows the first rows that only one side has; both are sorted.
func unlike(a, b []string, nameA, nameB string) string {
	onlyA, onlyB := minus(a, b), minus(b, a)
	return fmt.Sprintf("%d rows %s, %d %s; only %s %s; only %s %s", len(a), nameA, len(b), nameB, nameA, first(onlyA), nameB, first(onlyB))
}

// unlikeRows is empty if two tables have the same rows.
func unlikeRows(plain, captured []row) string {
	a, b := minusRows(plain, captured), minusRows(captured, plain)
	if len(a)+len(b) == 0 {
		return ""
	}
	return unlike(texts(a), texts(b), "without capture", "with it")
}

// minusRows is a without the rows of b, counted.
func minusRows(a, b []row) []row {
	count := map[string]int{}
	for _, r := range b {
		count[r.String()]++
	}
	var rest []row
	for _, r := range a {
		if count[r.String()]--; count[r.String()] < 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

func texts(rows []row) []string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = r.String()
	}
	slices.Sort(all)
	return all
}

func first(rows []string) string {
	if len(rows) == 0 {
		return "none"
	}
	if len(rows) > 3 {
		rows = rows[:3]
	}
	return shorten(fmt.Sprintf("%q", rows))
}

// minus is a without the elements of b, counted.
func minus(a, b []string) []string {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	var rest []string
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			rest = append(rest, s)
		}
	}
	return rest
}
