package sqllog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

// quoted writes "x" as the dialect does.
func quoted(db *sqlx.DB, query string) string {
	if db.DriverName() == "mysql" {
		return strings.ReplaceAll(query, `"`, "`")
	}
	return query
}

func event(kind, key, data string) cdc.Event {
	return cdc.Event{Type: kind, Key: key, Data: []byte(data)}
}

func TestCaptureEmitsEachChangeOnce(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, quoted(db, `CREATE TABLE "odd 'name" (id INTEGER PRIMARY KEY, "the ""text" VARCHAR(50), n INTEGER)`))
		table := sqllog.Table{Name: "odd 'name", Topic: "it's", Type: "odd"}
		for range 2 { // the second time changes nothing
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			if err := l.VerifyCapture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
		}
		column, text := `the "text`, `"it's \"b\""`
		if db.DriverName() == "mysql" { // where quoted has changed the quotes
			column, text = "the `text", "\"it's `b`\""
		}
		js := func(id int, text, n string) string {
			return fmt.Sprintf(`{"id":%d,%q:%s,"n":%s}`, id, column, text, n)
		}
		do := func(query string) func() { return func() { mustExec(t, db, quoted(db, query)) } }
		steps := []struct {
			query string
			want  []cdc.Event
		}{
			{`INSERT INTO "odd 'name" VALUES (1, 'a', NULL), (2, 'it''s "b"', 5)`, []cdc.Event{
				event("odd.insert", "1", `{"old":null,"new":`+js(1, `"a"`, "null")+`}`),
				event("odd.insert", "2", `{"old":null,"new":`+js(2, text, "5")+`}`),
			}},
			{`UPDATE "odd 'name" SET n = n`, nil},
			{`UPDATE "odd 'name" SET n = NULL WHERE id = 2`, []cdc.Event{
				event("odd.update", "2", `{"old":`+js(2, text, "5")+`,"new":`+js(2, text, "null")+`}`),
			}},
			{`UPDATE "odd 'name" SET "the ""text" = 'A' WHERE id = 1`, []cdc.Event{
				event("odd.update", "1", `{"old":`+js(1, `"a"`, "null")+`,"new":`+js(1, `"A"`, "null")+`}`),
			}},
			{`UPDATE "odd 'name" SET id = 7 WHERE id = 1`, []cdc.Event{
				event("odd.delete", "1", `{"old":`+js(1, `"A"`, "null")+`,"new":null}`),
				event("odd.insert", "7", `{"old":null,"new":`+js(7, `"A"`, "null")+`}`),
			}},
			{`DELETE FROM "odd 'name" WHERE id = 7`, []cdc.Event{
				event("odd.delete", "7", `{"old":`+js(7, `"A"`, "null")+`,"new":null}`),
			}},
		}
		for _, step := range steps {
			sqltest.Emits(t, l, do(step.query), step.want...)
			if t.Failed() {
				t.Fatalf("after %s", step.query)
			}
		}
		if err := l.RemoveCapture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		sqltest.Emits(t, l, do(`DELETE FROM "odd 'name"`))
		if _, ok := errors.AsType[*sqllog.SchemaError](l.VerifyCapture(t.Context(), table)); !ok {
			t.Error("VerifyCapture finds nothing wrong without triggers")
		}
	})
}

func TestCaptureWithCompositeKeyAndWatchedColumns(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE order_lines (item INTEGER, ord INTEGER, qty INTEGER, note VARCHAR(20), PRIMARY KEY (ord, item))")
		table := sqllog.Table{Name: "order_lines", Columns: []string{"qty"}}
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		key := "[10,3]"
		if db.DriverName() != "sqlite" {
			key = "[10, 3]"
		}
		sqltest.Emits(t, l, func() {
			mustExec(t, db, "INSERT INTO order_lines VALUES (3, 10, 1, 'x')")
			mustExec(t, db, "UPDATE order_lines SET note = 'y'")
			mustExec(t, db, "UPDATE order_lines SET qty = 2")
		}, event("order_lines.insert", key, `{"old":null,"new":{"qty":1}}`), event("order_lines.update", key, `{"old":{"qty":1},"new":{"qty":2}}`))

		mustExec(t, db, "ALTER TABLE order_lines ADD COLUMN extra INTEGER")
		if err := l.VerifyCapture(t.Context(), table); err != nil {
			t.Errorf("a column that is not captured makes %v", err)
		}
		all := sqllog.Table{Name: "order_lines"}
		if err := l.VerifyCapture(t.Context(), all); err == nil {
			t.Error("VerifyCapture accepts the triggers of other columns")
		}
		if err := l.Capture(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE order_lines SET extra = 1") },
			event("order_lines.update", key, `{"old":{"item":3,"ord":10,"qty":2,"note":"y","extra":null},"new":{"item":3,"ord":10,"qty":2,"note":"y","extra":1}}`))
	})
}

func TestCaptureOfBulkStatementsAndTruncateOnPostgres(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			l, db := v.fresh(t)
			mustExec(t, db, "CREATE TABLE p (id bigint PRIMARY KEY, doc json, pic bytea, at timestamptz)")
			if err := l.Capture(t.Context(), sqllog.Table{Name: "p"}); err != nil {
				t.Fatal(err)
			}
			epoch := epochOf(t, l)
			mustExec(t, db, "INSERT INTO p SELECT i, '{}', '\\xff00', now() FROM generate_series(1, 5000) i")
			mustExec(t, db, "INSERT INTO p SELECT i, '{\"a\":1}', NULL, now() FROM generate_series(4001, 6000) i ON CONFLICT (id) DO UPDATE SET doc = EXCLUDED.doc")
			mustExec(t, db, "UPDATE p SET id = -id WHERE id > 5990")
			kinds := map[string]int{}
			for _, e := range readAll(t, l, cdc.Cursor{Epoch: epoch}) {
				kinds[e.Type]++
			}
			if want := map[string]int{"p.insert": 6010, "p.update": 1000, "p.delete": 10}; fmt.Sprint(kinds) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", kinds, want)
			}
			sqltest.Emits(t, l, func() { mustExec(t, db, "TRUNCATE p") }, event("p.truncate", "", `{"old":null,"new":null}`))
		})
	}
}

func TestCaptureRefusesWhatItCannotDo(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE keyless (a INTEGER)")
		for want, table := range map[string]sqllog.Table{
			"does not exist": {Name: "nowhere"},
			"no primary key": {Name: "keyless"},
			`no column "b"`:  {Name: "keyless", Key: []string{"a"}, Columns: []string{"b"}},
			"the reserved":   {Name: "keyless", Key: []string{"a"}, Type: "cdc.x"},
		} {
			if err := l.Capture(t.Context(), table); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Capture(%+v): got %v, want %q", table, err, want)
			}
		}
	})
}
