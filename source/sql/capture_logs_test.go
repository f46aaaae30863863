package sqllog_test

import (
	"strings"
	"testing"

	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

// TestSeveralLogsCaptureOneTable: each has triggers of its own, and another
// capture of the table by the same log is refused.
func TestSeveralLogsCaptureOneTable(t *testing.T) {
	for _, v := range []variant{mariadbVariant, sqliteVariant} {
		t.Run(v.name, func(t *testing.T) {
			first, db := v.fresh(t)
			second := openNamed(t, db, "other_log", v.opts)
			table, other := sqllog.Table{Name: "k"}, sqllog.Table{Name: "k", Topic: "elsewhere"}
			mustExec(t, db, "CREATE TABLE k (id INTEGER PRIMARY KEY NOT NULL)")
			if err := first.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			if err := first.Capture(t.Context(), other); err == nil || !strings.Contains(err.Error(), "RemoveCapture first") {
				t.Errorf("a second topic of one log: got %v, want it refused", err)
			}
			if err := second.Capture(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			row := `{"old":null,"new":{"id":1}}`
			sqltest.Emits(t, first, func() {
				sqltest.Emits(t, second, func() { mustExec(t, db, "INSERT INTO k VALUES (1)") }, topical("elsewhere", "k.insert", "1", row))
			}, topical("k", "k.insert", "1", row))
			if err := first.RemoveCapture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			sqltest.Emits(t, first, func() {
				sqltest.Emits(t, second, func() { mustExec(t, db, "DELETE FROM k") }, topical("elsewhere", "k.delete", "1", `{"old":{"id":1},"new":null}`))
			})
			for _, l := range []*sqllog.Log{first, second} {
				verified := l.VerifyCapture(t.Context(), map[*sqllog.Log]sqllog.Table{first: table, second: other}[l])
				if (verified == nil) != (l == second) {
					t.Errorf("VerifyCapture: got %v, want an error of the first log alone", verified)
				}
			}
		})
	}
}

// TestSeveralLogsCaptureATableWithALongName: the hash that stands for the rest of
// a long name is another one for each log.
func TestSeveralLogsCaptureATableWithALongName(t *testing.T) {
	table := sqllog.Table{Name: strings.Repeat("n", 60), Topic: "long"}
	for _, v := range []variant{variants[0], mariadbVariant, sqliteVariant} {
		t.Run(v.name, func(t *testing.T) {
			first, db := v.fresh(t)
			second := openNamed(t, db, "other_log", v.opts)
			mustExec(t, db, "CREATE TABLE "+table.Name+" (id INTEGER PRIMARY KEY NOT NULL)")
			for _, l := range []*sqllog.Log{first, second} {
				if err := l.Capture(t.Context(), table); err != nil {
					t.Fatal(err)
				}
			}
			want := topical("long", table.Name+".insert", "1", `{"old":null,"new":{"id":1}}`)
			sqltest.Emits(t, first, func() {
				sqltest.Emits(t, second, func() { mustExec(t, db, "INSERT INTO "+table.Name+" VALUES (1)") }, want)
			}, want)
			for _, l := range []*sqllog.Log{first, second} {
				if err := l.VerifyCapture(t.Context(), table); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
