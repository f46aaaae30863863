package sqllog_test

import (
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// oddRow is a row of another program.
type oddRow struct {
	name, values string // of the columns at, body and meta
	time         time.Time
	meta         string // of cdc.unreadable-meta
}

// oddTables are tables of other programs.
var oddTables = []struct {
	name, table string
	open        func(tb testing.TB) (driver, dsn string)
	rows        []oddRow
}{
	{"postgres timestamptz", `CREATE TABLE events (seq bigserial PRIMARY KEY, at timestamptz, body bytea, meta text)`, freshPostgres, []oddRow{
		{"infinity", `'infinity', NULL, NULL`, latest, ""},
		{"minus infinity", `'-infinity', NULL, NULL`, earliest, ""},
		{"before Christ", `'0044-03-15 12:00:00 BC', NULL, NULL`, earliest, ""},
		{"after 9999", `'20000-01-01', NULL, NULL`, latest, ""},
		{"no time", `NULL, NULL, NULL`, time.Time{}, ""},
		{"meta is no JSON", `'2020-01-01Z', '\xff00', '{broken'`, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), "{broken"},
		{"meta is an array", `'2020-01-01Z', '', '[1]'`, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), "[1]"},
	}},
	{"postgres timestamp", `CREATE TABLE events (seq bigserial PRIMARY KEY, at timestamp, body jsonb, meta jsonb)`, freshPostgres, []oddRow{
		{"infinity", `'infinity', '1', NULL`, latest, ""},
		{"minus infinity", `'-infinity', 'null', NULL`, earliest, ""},
		{"meta is a text", `NULL, NULL, '"x"'`, time.Time{}, `"x"`},
	}},
	{"postgres text", `CREATE TABLE events (seq bigserial PRIMARY KEY, at text, body text, meta json)`, freshPostgres, []oddRow{
		{"infinity", `'infinity', '<a/>', '7'`, latest, "7"},
		{"text", `'soon', '', 'null'`, time.Time{}, ""},
		{"before Christ", `'4000-01-01 BC', '\x', NULL`, earliest, ""},
	}},
	{"postgres numeric", `CREATE TABLE events (seq bigserial PRIMARY KEY, at numeric, body text, meta text)`, freshPostgres, []oddRow{
		{"huge", `1e300, '', ''`, latest, ""},
		{"negative", `-1e300, NULL, '{}'`, earliest, ""},
		{"not a number", `'NaN', NULL, NULL`, time.Time{}, ""},
		{"seconds", `1577836800.5, NULL, NULL`, time.Date(2020, 1, 1, 0, 0, 0, 5e8, time.UTC), ""},
	}},
	{"sqlite datetime", `CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at DATETIME, body TEXT, meta TEXT)`, freshSQLite, []oddRow{
		{"text", `'soon', 1, 1.5`, time.Time{}, "1.5"},
		{"huge", `9223372036854775807, x'ff', x'ff'`, latest, "\ufffd"},
		{"small", `-9223372036854775808, NULL, '{'`, earliest, "{"},
		{"infinity", `9e999, 9e999, NULL`, latest, ""},
		{"minus infinity", `-9e999, NULL, NULL`, earliest, ""},
		{"bytes", `x'00ff', '', ''`, time.Time{}, ""},
		{"after 9999", `'10000-01-01 00:00:00', NULL, NULL`, latest, ""},
	}},
	{"sqlite text", `CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, body BLOB, meta TEXT)`, freshSQLite, []oddRow{
		{"infinity", `'infinity', 7, 'null'`, latest, ""},
		{"huge", `1e300, 1.5, 12`, latest, "12"},
		{"NULL", `NULL, x'00', NULL`, time.Time{}, ""},
		{"largest", `9223372036854775807, NULL, NULL`, latest, ""},
	}},
}

// TestNoStoredRowStopsAStream: a table that exists holds what its programs have
// written, and a row that cannot be read would be an error at every retry.
func TestNoStoredRowStopsAStream(t *testing.T) {
	for _, tt := range oddTables {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := tt.open(t)
			db := connect(t, driver, dsn)
			mustExec(t, db, tt.table)
			for _, r := range tt.rows {
				mustExec(t, db, "INSERT INTO events (at, body, meta) VALUES ("+r.values+")")
			}
			l := openNamed(t, db, "events", sqllog.Options{Columns: &sqllog.Columns{Seq: "seq", Time: "at", Data: "body", Meta: "meta"}})
			got := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
			if len(got) != len(tt.rows) {
				t.Fatalf("got %d events, want %d", len(got), len(tt.rows))
			}
			for i, r := range tt.rows {
				if !got[i].Time.Equal(r.time) {
					t.Errorf("%s: Time = %v, want %v", r.name, got[i].Time, r.time)
				}
				if text := got[i].Meta["cdc.unreadable-meta"]; text != r.meta {
					t.Errorf("%s: Meta = %q, want the text %q", r.name, got[i].Meta, r.meta)
				}
			}
		})
	}
}
