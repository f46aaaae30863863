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
		do := func(query string) func() { return func() { mustExec(t, db, quoted(db, query)) } }
		for _, step := range changes(db) {
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

// change is a statement and the events that it must lead to.
type change struct {
	query string
	want  []cdc.Event
}

func changes(db *sqlx.DB) []change {
	column, text := `the "text`, `"it's \"b\""`
	if db.DriverName() == "mysql" { // where quoted has changed the quotes
		column, text = "the `text", "\"it's `b`\""
	}
	js := func(id int, text, n string) string {
		return fmt.Sprintf(`{"id":%d,%q:%s,"n":%s}`, id, column, text, n)
	}
	return []change{
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
}

func TestCaptureWithCompositeKeyAndWatchedColumns(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE order_lines (item INTEGER NOT NULL, ord INTEGER NOT NULL, qty INTEGER, note VARCHAR(20), PRIMARY KEY (ord, item))")
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
			t.Parallel()
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

// TestCaptureOfTablesWithLongAndReservedNames has names that begin alike and
// are as long as the database takes.
func TestCaptureOfTablesWithLongAndReservedNames(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		long := strings.Repeat("längs", 10)
		for _, name := range []string{"select", long + "-a", long + "-b", "Größe 🙂"} {
			if db.DriverName() == "mysql" {
				name = strings.ReplaceAll(name, "🙂", "x") // its names have no such letters
			}
			mustExec(t, db, quoted(db, `CREATE TABLE "`+name+`" ("order" INTEGER PRIMARY KEY, "from" VARCHAR(9))`))
			table := sqllog.Table{Name: name}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := l.VerifyCapture(t.Context(), table); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			sqltest.Emits(t, l, func() {
				mustExec(t, db, quoted(db, `INSERT INTO "`+name+`" VALUES (1, 'x')`))
				mustExec(t, db, quoted(db, `UPDATE "`+name+`" SET "from" = 'y'`))
				mustExec(t, db, quoted(db, `DELETE FROM "`+name+`"`))
			}, event(name+".insert", "1", `{"old":null,"new":{"order":1,"from":"x"}}`),
				event(name+".update", "1", `{"old":{"order":1,"from":"x"},"new":{"order":1,"from":"y"}}`),
				event(name+".delete", "1", `{"old":{"order":1,"from":"y"},"new":null}`))
		}
	})
}

// TestCaptureSeesEveryWayToChangeARow has an upsert that inserts, one that
// updates, and rows that a foreign key deletes.
func TestCaptureSeesEveryWayToChangeARow(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE parent (id INTEGER PRIMARY KEY)")
		mustExec(t, db, "CREATE TABLE child (id INTEGER PRIMARY KEY, n INTEGER, up INTEGER, FOREIGN KEY (up) REFERENCES parent (id) ON DELETE CASCADE)")
		if err := l.Capture(t.Context(), sqllog.Table{Name: "child", Columns: []string{"n"}}); err != nil {
			t.Fatal(err)
		}
		row := func(kind string, before, after any) cdc.Event {
			js := func(v any) string {
				if v == nil {
					return "null"
				}
				return fmt.Sprintf(`{"n":%v}`, v)
			}
			return event("child."+kind, "1", `{"old":`+js(before)+`,"new":`+js(after)+`}`)
		}
		mustExec(t, db, "INSERT INTO parent VALUES (5)")
		upsert := "INSERT INTO child VALUES (1, 1, 5) ON CONFLICT (id) DO UPDATE SET n = child.n + 1"
		if db.DriverName() == "mysql" {
			upsert = "INSERT INTO child VALUES (1, 1, 5) ON DUPLICATE KEY UPDATE n = n + 1"
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, upsert) }, row("insert", nil, 1))
		sqltest.Emits(t, l, func() { mustExec(t, db, upsert) }, row("update", 1, 2))
		if db.DriverName() != "mysql" { // documented: its cascades fire no trigger
			cascade := func() { mustExec(t, db, "DELETE FROM parent") }
			if db.DriverName() == "sqlite" {
				cascade = func() { mustExec(t, db, "PRAGMA foreign_keys = ON; DELETE FROM parent; PRAGMA foreign_keys = OFF") }
			}
			sqltest.Emits(t, l, cascade, row("delete", 2, nil))
		}
	})
}

// TestReplaceOnSQLiteNeedsRecursiveTriggers shows what docs/sql.md says.
func TestReplaceOnSQLiteNeedsRecursiveTriggers(t *testing.T) {
	l, db := variants[4].fresh(t)
	db.SetMaxOpenConns(3)
	mustExec(t, db, "CREATE TABLE r (id INTEGER PRIMARY KEY, n INTEGER)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "r", Columns: []string{"n"}}); err != nil {
		t.Fatal(err)
	}
	insert := event("r.insert", "1", `{"old":null,"new":{"n":2}}`)
	mustExec(t, db, "INSERT INTO r VALUES (1, 2)")
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT OR REPLACE INTO r VALUES (1, 2)") }, insert)
	sqltest.Emits(t, l, func() { mustExec(t, db, "PRAGMA recursive_triggers = ON; INSERT OR REPLACE INTO r VALUES (1, 2)") },
		event("r.delete", "1", `{"old":{"n":2},"new":null}`), insert)
}

func TestCaptureOfAPartitionedTable(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE parted (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE (id)")
	mustExec(t, db, "CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10)")
	mustExec(t, db, "CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "parted", Columns: []string{"n"}}); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() {
		mustExec(t, db, "INSERT INTO parted VALUES (1, 1), (11, 2)")
		mustExec(t, db, "UPDATE parted SET n = 3 WHERE id = 11")
		mustExec(t, db, "UPDATE parted SET id = 12 WHERE id = 1") // to the other partition
	}, event("parted.insert", "1", `{"old":null,"new":{"n":1}}`), event("parted.insert", "11", `{"old":null,"new":{"n":2}}`),
		event("parted.update", "11", `{"old":{"n":2},"new":{"n":3}}`),
		event("parted.delete", "1", `{"old":{"n":1},"new":null}`), event("parted.insert", "12", `{"old":null,"new":{"n":1}}`))
}

func TestNamesThatTheDatabaseWouldCutAreRefused(t *testing.T) {
	for _, v := range variants[:4] {
		_, dsn := v.open(t)
		driver := "postgres"
		if v.name == "mariadb" {
			driver = "mysql"
		}
		_, err := sqllog.Open(t.Context(), connect(t, driver, dsn), strings.Repeat("x", 49), &sqllog.Options{Mode: v.opts.Mode})
		if err == nil || !strings.Contains(err.Error(), "at most 48") {
			t.Errorf("%s: got %v, want the length to be refused", v.name, err)
		}
		openNamed(t, connect(t, driver, dsn), strings.Repeat("x", 48), sqllog.Options{Mode: v.opts.Mode})
	}
}

// TestCaptureAfterAMigration renames and drops columns under the triggers.
func TestCaptureAfterAMigration(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE m (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)")
		table := sqllog.Table{Name: "m"}
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		for _, migration := range []string{"ALTER TABLE m RENAME COLUMN a TO c", "ALTER TABLE m DROP COLUMN b"} {
			if db.DriverName() == "sqlite" && strings.Contains(migration, "DROP") {
				if _, err := db.Exec(migration); err == nil {
					t.Error("SQLite drops a column that a trigger names")
				}
				if err := l.RemoveCapture(t.Context(), table); err != nil {
					t.Fatal(err)
				}
			}
			mustExec(t, db, migration)
			if _, ok := errors.AsType[*sqllog.SchemaError](l.VerifyCapture(t.Context(), table)); !ok {
				t.Errorf("VerifyCapture finds nothing wrong after %s", migration)
			}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO m VALUES (1, 2)") },
			event("m.insert", "1", `{"old":null,"new":{"id":1,"c":2}}`))
	})
}
