package capture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// The table's rows and the events' are brought to one canonical text for each
// value, so that they can be compared.

// row is a row's canonical values.
type row []string

func (r row) String() string { return strings.Join(r, " | ") }

// content are the rows of a twin's table as everybody sees them.
func content(ctx context.Context, db querier, d Dialect, t *Table, number int) ([]row, error) {
	var list []string
	var columns []Column
	for _, c := range t.Columns {
		if !c.Removed {
			list, columns = append(list, textOf(d, c)), append(columns, c)
		}
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+In(number, t.QualifiedName(d)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	var all []row
	for rows.Next() {
		values, places := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		parts := make(row, len(values))
		for i, v := range values {
			if parts[i], err = canonicalCell(d, columns[i], v); err != nil {
				return nil, err
			}
		}
		all = append(all, parts)
	}
	return all, rows.Err()
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// textOf is an expression for the column's text.
func textOf(d Dialect, c Column) string {
	name := d.Quote(c.Name)
	switch d {
	case Postgres:
		return "to_json(" + name + ")::text"
	case SQLite:
		return "CASE typeof(" + name + ") WHEN 'blob' THEN 's' || lower(hex(" + name + ")) WHEN 'text' THEN 's' || " + name +
			" WHEN 'integer' THEN 'i' || " + name + " WHEN 'real' THEN 'r' || printf('%!.17g', " + name + ") END"
	}
	switch {
	case mariaBytes.MatchString(c.Type):
		return "LOWER(coalesce(HEX(" + name + "), HEX(LEFT(" + name + ", 500000))))" // the whole may exceed a packet
	case mariaSpatial.MatchString(c.Type):
		return "ST_AsText(" + name + ")"
	case mariaZeros.MatchString(c.Type):
		name += " + 0"
	}
	return "CONVERT(CAST(" + name + " AS CHAR) USING utf8mb4)"
}

var (
	mariaBytes   = regexp.MustCompile(`(?i)^(bit|(var)?binary|(tiny|medium|long)?blob)|character set binary`)
	mariaSpatial = regexp.MustCompile(`(?i)^(geometry|(multi)?(point|linestring|polygon))`)
	mariaZeros   = regexp.MustCompile(`(?i)^year|zerofill`)
	mariaFloat   = regexp.MustCompile(`(?i)^(float|double)`)
	exponent     = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]{1,4}\b`)
	negativeZero = regexp.MustCompile(`(^|[^0-9a-zA-Z.])-(0(?:\.0+)?)\b`)
	jsonType     = regexp.MustCompile(`(?i)^jsonb?(\[\])?$`)
)

func canonicalCell(d Dialect, c Column, text sql.NullString) (string, error) {
	if !text.Valid {
		return "null", nil
	}
	switch d {
	case Postgres:
		decoder := json.NewDecoder(strings.NewReader(text.String))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			return "", fmt.Errorf("column %q: %q: %w", c.Name, text.String, err)
		}
		return canonical(d, c, value), nil
	case SQLite:
		kind, rest := text.String[0], text.String[1:]
		if kind == 'r' {
			return sqliteReal(rest), nil
		}
		return string(kind) + rest, nil
	}
	return canonical(d, c, text.String), nil
}

// canonical is the text of a value in an event.
func canonical(d Dialect, c Column, value any) string {
	if value == nil {
		return "null"
	}
	if d == SQLite {
		return sqliteCanonical(value)
	}
	if jsonType.MatchString(c.Type) {
		return encode(unwrap(value))
	}
	if d == Postgres {
		return encode(value)
	}
	text, ok := value.(string)
	if !ok {
		text = fmt.Sprint(value)
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil && mariaFloat.MatchString(c.Type) {
		return strconv.FormatFloat(number, 'g', -1, 64)
	}
	return text
}

// unwrap decodes JSON that is in a string: an event may carry as text what its
// log cannot hold as JSON.
func unwrap(value any) any {
	text, ok := value.(string)
	if !ok {
		return value
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var inner any
	if d.Decode(&inner) != nil || d.More() {
		return value
	}
	return unwrap(inner)
}

// encode writes bytes as hexadecimal alone, wherever they stand.
func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(text), `\\x`, "")
}

func sqliteCanonical(value any) string {
	switch v := value.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return sqliteReal(v.String())
		}
		return "i" + v.String()
	case string:
		return "s" + v
	}
	return fmt.Sprint(value)
}

func sqliteReal(text string) string {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "r" + text + " " + err.Error()
	}
	switch text := strconv.FormatFloat(number, 'g', -1, 64); text {
	case "+Inf":
		return "sInfinity"
	case "-Inf":
		return "s-Infinity"
	default:
		return "r" + text
	}
}

// plainNumbers writes the numbers of a canonical text as jsonb does: without an
// exponent, and 0 without a sign.
func plainNumbers(text string) string {
	text = exponent.ReplaceAllStringFunc(text, func(number string) string {
		value, ok := new(big.Rat).SetString(number)
		if !ok {
			return number
		}
		digits, _, _ := strings.Cut(strings.ToLower(number), "e")
		_, fraction, _ := strings.Cut(digits, ".")
		power, _ := strconv.Atoi(strings.ToLower(number)[strings.IndexAny(number, "eE")+1:])
		return value.FloatString(max(0, len(fraction)-power))
	})
	return negativeZero.ReplaceAllString(text, "$1$2")
}
