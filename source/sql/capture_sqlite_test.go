package sqllog_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

// freshCapture is a log in mode SingleWriter with one captured table, on one
// connection.
func freshCapture(t *testing.T, v variant, create string, table sqllog.Table) (*sqllog.Log, *sqlx.DB) {
	t.Helper()
	l, db := v.fresh(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, create)
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	if err := l.VerifyCapture(t.Context(), table); err != nil {
		t.Error(err)
	}
	return l, db
}

var (
	mariadbVariant = variants[3]
	sqliteVariant  = variants[4]
)

// refused is a table that Capture must not take, with a word of its reason.
type refused struct {
	create string
	table  sqllog.Table
	want   string
}

func checkRefused(t *testing.T, v variant, cases []refused) {
	t.Helper()
	for _, c := range cases {
		l, db := v.fresh(t)
		db.SetMaxOpenConns(1)
		mustExec(t, db, c.create)
		err := l.Capture(t.Context(), c.table)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.create, err, c.want)
		}
	}
}

func TestSQLiteRefusesWhatItCannotCapture(t *testing.T) {
	k := sqllog.Table{Name: "k"}
	checkRefused(t, sqliteVariant, []refused{
		{"CREATE TABLE k (id TEXT PRIMARY KEY)", k, "may be NULL"},
		{"CREATE TABLE k (a TEXT, b INTEGER NOT NULL, PRIMARY KEY (a, b))", k, "may be NULL"},
		{"CREATE TABLE k (id INTEGER PRIMARY KEY DESC)", k, "may be NULL"},
		{"CREATE TABLE k (id INTEGER PRIMARY KEY, a TEXT UNIQUE)", sqllog.Table{Name: "k", Key: []string{"a"}}, "may be NULL"},
		{"CREATE TABLE k (id INTEGER PRIMARY KEY, a TEXT NOT NULL)", sqllog.Table{Name: "k", Key: []string{"a"}}, "no unique index"},
		{"CREATE TABLE k (a TEXT NOT NULL, b TEXT NOT NULL, UNIQUE (a, b))", sqllog.Table{Name: "k", Key: []string{"a"}}, "no unique index"},
		{"CREATE TABLE k (a TEXT NOT NULL); CREATE UNIQUE INDEX i ON k (a) WHERE a > 'x'", sqllog.Table{Name: "k", Key: []string{"a"}}, "no unique index"},
		{"CREATE TABLE k (a TEXT NOT NULL); CREATE UNIQUE INDEX i ON k (a || '')", sqllog.Table{Name: "k", Key: []string{"a"}}, "no unique index"},
		{"CREATE VIEW k AS SELECT 1 AS id", sqllog.Table{Name: "k", Key: []string{"id"}}, "view"},
		{"CREATE TEMP TABLE k (id INTEGER PRIMARY KEY)", k, "does not exist"},
		{"CREATE TEMP TABLE k (id INTEGER PRIMARY KEY)", sqllog.Table{Name: "temp.k"}, "its own file"},
		{"CREATE VIRTUAL TABLE k USING fts5(id)", sqllog.Table{Name: "k", Key: []string{"id"}}, "virtual"},
		{"ATTACH ':memory:' AS other; CREATE TABLE other.k (id INTEGER PRIMARY KEY); CREATE TABLE other.change_log (seq)", sqllog.Table{Name: "other.k"}, "its own file"},
		{"CREATE TABLE k (id INTEGER PRIMARY KEY)", sqllog.Table{Name: "k", Meta: map[string]sqllog.MetaSource{"who": {Table: "nowhere", Column: "x"}}}, "nothing was installed"},
	})
}

// TestSQLiteKeysThatMayBeCaptured are not refused.
func TestSQLiteKeysThatMayBeCaptured(t *testing.T) {
	for _, create := range []string{
		"CREATE TABLE k (id INTEGER PRIMARY KEY)",
		"CREATE TABLE k (id TEXT PRIMARY KEY) STRICT",
		"CREATE TABLE k (id TEXT, n INTEGER, PRIMARY KEY (n, id)) WITHOUT ROWID",
		"CREATE TABLE k (a TEXT, id TEXT NOT NULL PRIMARY KEY)",
	} {
		freshCapture(t, sqliteVariant, create, sqllog.Table{Name: "k"})
	}
	freshCapture(t, sqliteVariant, "CREATE TABLE k (a TEXT NOT NULL UNIQUE, b TEXT NOT NULL)", sqllog.Table{Name: "k", Key: []string{"b", "a"}})
}

// TestSQLiteTellsKeysApart: a column takes values of types that it was not
// declared with.
func TestSQLiteTellsKeysApart(t *testing.T) {
	for declared, keys := range map[string]map[string]string{
		"":        {"1": "1", "'1'": "'1", "x'31'": "x'31'", "1.5": "1.5", "'x''31'''": "'x'31'", "'a'": "a", "9e999": "9.0e+999", "'-'": "'-", "''": ""},
		"BLOB":    {"1": "(1)", "'1'": "'1", "x'31'": "31", "1.5": "(1.5)", "'31'": "'31"},
		"TEXT":    {"1": "1", "x'31'": "x'31'", "'x''31'''": "'x'31'", "'''a'": "''a", "'(1)'": "(1)"},
		"NUMERIC": {"1": "1", "x'31'": "x'31'", "'2026-01-02'": "2026-01-02", "9e999": "9.0e+999", "-9e999": "-9.0e+999", "'Infinity'": "Infinity"},
		"REAL":    {"1": "1.0", "0.1": "0.1", "0.1 + 0.2": "0.30000000000000004"},
	} {
		l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id "+declared+" NOT NULL PRIMARY KEY)", sqllog.Table{Name: "k", Columns: []string{"id"}})
		for value, key := range keys {
			mustExec(t, db, "DELETE FROM k")
			want := event("k.insert", key, "")
			want.Data = nil
			sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k VALUES ("+value+")") }, want)
		}
	}
}

// TestSQLiteComparesWhatIsEmitted: 1 and 1.0 are equal in SQLite.
func TestSQLiteComparesWhatIsEmitted(t *testing.T) {
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id NOT NULL PRIMARY KEY, v); INSERT INTO k VALUES (1, 1)", sqllog.Table{Name: "k"})
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE k SET v = 1.0") }, event("k.update", "1", `{"old":{"id":1,"v":1},"new":{"id":1,"v":1.0}}`))
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE k SET id = 1.0") },
		event("k.delete", "1", `{"old":{"id":1,"v":1.0},"new":null}`), event("k.insert", "1.0", `{"old":null,"new":{"id":1.0,"v":1.0}}`))
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE k SET id = id, v = 1.0") })
}

// TestSQLiteValuesAreDecodable by every reader of JSON.
func TestSQLiteValuesAreDecodable(t *testing.T) {
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id INTEGER PRIMARY KEY, v)", sqllog.Table{Name: "k", Columns: []string{"v"}})
	for value, want := range map[string]string{
		"9e999": `"Infinity"`, "-9e999": `"-Infinity"`, "-0.0": "0.0", "-1.0 * 0": "0.0", "0.1": "0.1", "0.1 + 0.2": "0.30000000000000004",
		"1.7976931348623157e308": "1.7976931348623157e+308", "5e-324": "4.94065645841247e-324", "json('[1,2]')": `"[1,2]"`, "'[1,2]'": `"[1,2]"`,
		"char(10) || char(0) || 'x'": `"\n\u0000x"`, "9223372036854775807": "9223372036854775807", "x''": `""`, "NULL": "null",
	} {
		mustExec(t, db, "DELETE FROM k")
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k VALUES (1, "+value+")") }, event("k.insert", "1", `{"old":null,"new":{"v":`+want+`}}`))
		events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
		var v any
		if err := json.Unmarshal(events[len(events)-1].Data, &v); err != nil {
			t.Errorf("%s: %v: %s", value, err, events[len(events)-1].Data)
		}
	}
}

// TestSQLiteConflictClausesReachNoConstraint: OR IGNORE and OR REPLACE hold for
// the trigger's statements, too.
func TestSQLiteConflictClausesReachNoConstraint(t *testing.T) {
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id INTEGER PRIMARY KEY, v)", sqllog.Table{Name: "k", TopicColumns: []string{"v"}})
	sqltest.Emits(t, l, func() {
		for _, statement := range []string{
			"INSERT OR IGNORE INTO k VALUES (1, NULL)", "INSERT OR IGNORE INTO k VALUES (1, 2)", "UPDATE OR IGNORE k SET v = 'a/b'",
			"INSERT OR REPLACE INTO k VALUES (2, 'x')", "UPDATE OR FAIL k SET v = NULL",
		} {
			mustExec(t, db, statement)
		}
	}, topical("k/", "k.insert", "1", `{"old":null,"new":{"id":1,"v":null}}`),
		topical("k/", "k.delete", "1", `{"old":{"id":1,"v":null},"new":null}`), topical("k/a%2Fb", "k.insert", "1", `{"old":null,"new":{"id":1,"v":"a/b"}}`),
		topical("k/x", "k.insert", "2", `{"old":null,"new":{"id":2,"v":"x"}}`),
		topical("k/a%2Fb", "k.delete", "1", `{"old":{"id":1,"v":"a/b"},"new":null}`), topical("k/", "k.insert", "1", `{"old":null,"new":{"id":1,"v":null}}`),
		topical("k/x", "k.delete", "2", `{"old":{"id":2,"v":"x"},"new":null}`), topical("k/", "k.insert", "2", `{"old":null,"new":{"id":2,"v":null}}`))
}

func topical(topic, kind, key, data string) cdc.Event {
	e := event(kind, key, data)
	e.Topic = topic
	return e
}

// TestSQLiteHeadAfterAStatementThatFails: OR FAIL keeps the first rows, and
// their events are readable at once.
func TestSQLiteHeadAfterAStatementThatFails(t *testing.T) {
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id INTEGER PRIMARY KEY, v)", sqllog.Table{Name: "k"})
	sqltest.Emits(t, l, func() {
		if _, err := db.Exec("INSERT OR FAIL INTO k VALUES (1, 'a'), (1, 'b'), (2, 'c')"); err == nil {
			t.Error("the second row has the key of the first")
		}
	}, event("k.insert", "1", `{"old":null,"new":{"id":1,"v":"a"}}`))
	b, err := l.Bounds(t.Context())
	if err != nil || b.Head != 1 {
		t.Fatalf("got head %d, %v, want 1", b.Head, err)
	}
	if _, err := l.Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k VALUES (3, 'd')") }, event("k.insert", "3", `{"old":null,"new":{"id":3,"v":"d"}}`))
	if after, err := l.Bounds(t.Context()); err != nil || after.Epoch != b.Epoch || after.Head != 2 {
		t.Errorf("got %+v, %v, want head 2 of epoch %s", after, err, b.Epoch)
	}
}

// TestSQLiteTriggersOfOthers: the newest trigger runs first, so one that is made
// after Capture is told by VerifyCapture.
func TestSQLiteTriggersOfOthers(t *testing.T) {
	table := sqllog.Table{Name: "k"}
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id INTEGER PRIMARY KEY, v)", table)
	mustExec(t, db, "CREATE TRIGGER later AFTER INSERT ON k BEGIN UPDATE k SET v = 5 WHERE id = NEW.id; END")
	if err := l.VerifyCapture(t.Context(), table); err == nil || !strings.Contains(err.Error(), "later") {
		t.Errorf("got %v, want the later trigger to be named", err)
	}
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	if err := l.VerifyCapture(t.Context(), table); err != nil {
		t.Error(err)
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k VALUES (1, 2)") },
		event("k.insert", "1", `{"old":null,"new":{"id":1,"v":2}}`), event("k.update", "1", `{"old":{"id":1,"v":2},"new":{"id":1,"v":5}}`))
}

// TestSQLiteLogsOfOthersThatRefuse: a mapped table whose constraints an event
// could fail is no target of Capture.
func TestSQLiteLogsOfOthersThatRefuse(t *testing.T) {
	for _, c := range []struct{ columns, after, want string }{
		{"n TEXT UNIQUE", "", "unique index"},
		{"n TEXT CHECK (n <> 'x')", "", "CHECK"},
		{"n TEXT NOT NULL", "", "NOT NULL"},
		{"n TEXT", "CREATE UNIQUE INDEX u ON m (topic, key)", "unique index"},
		{"n TEXT NOT NULL DEFAULT ''", "CREATE INDEX i ON m (topic)", ""},
	} {
		driver, dsn := freshSQLite(t)
		db := connect(t, driver, dsn)
		mustExec(t, db, "CREATE TABLE m (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, type TEXT, key TEXT, data TEXT, "+c.columns+"); CREATE TABLE k (id INTEGER PRIMARY KEY); "+c.after)
		l, err := sqllog.Open(t.Context(), db, "m", &sqllog.Options{Columns: &sqllog.Columns{Seq: "seq", Topic: "topic", Type: "type", Key: "key", Data: "data"}})
		if err == nil {
			err = l.Capture(t.Context(), sqllog.Table{Name: "k"})
			_ = l.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.columns, err, c.want)
		}
	}
}

// TestSQLiteMetaAndNumbers come from a table with one row, and from the value.
func TestSQLiteMetaAndNumbers(t *testing.T) {
	table := sqllog.Table{Name: "k", NumbersAsText: true, Meta: map[string]sqllog.MetaSource{"who's": {Table: "who", Column: "name"}, "n": {Table: "who", Column: "n"}}}
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id INTEGER PRIMARY KEY, r REAL); CREATE TABLE who (name TEXT, n INTEGER)", table)
	write := func(statement string) cdc.Event {
		mustExec(t, db, statement)
		events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
		return events[len(events)-1]
	}
	e := write("INSERT INTO k VALUES (9007199254740993, 0.5)")
	if want := `{"old":null,"new":{"id":"9007199254740993","r":0.5}}`; string(e.Data) != want || e.Meta != nil {
		t.Errorf("got %s %v, want %s without Meta", e.Data, e.Meta, want)
	}
	mustExec(t, db, "INSERT INTO who VALUES (NULL, 7)")
	if e = write("UPDATE k SET r = 1"); len(e.Meta) != 1 || e.Meta["n"] != "7" {
		t.Errorf("got %v, want only n to be 7", e.Meta)
	}
	mustExec(t, db, `UPDATE who SET name = 'al"ice'`)
	if e = write("DELETE FROM k"); len(e.Meta) != 2 || e.Meta["who's"] != `al"ice` {
		t.Errorf(`got %v, want who's to be al"ice`, e.Meta)
	}
}

// TestSQLiteTextsThatAreNotUTF8 are left out, and do not make two keys one.
func TestSQLiteTextsThatAreNotUTF8(t *testing.T) {
	table := sqllog.Table{Name: "k", TopicColumns: []string{"a"}}
	l, db := freshCapture(t, sqliteVariant, "CREATE TABLE k (id TEXT NOT NULL PRIMARY KEY, a TEXT, n INTEGER)", table)
	sqltest.Emits(t, l, func() {
		mustExec(t, db, "INSERT INTO k VALUES (CAST(x'ff41' AS TEXT), CAST(x'eda080' AS TEXT), 1), ('b', 'c', 2)")
	},
		topical("k/%ed%a0%80", "k.insert", "x'ff41'text", `{"old":null,"new":{"n":1},"omitted":{"a":"not UTF-8","id":"not UTF-8"}}`),
		topical("k/c", "k.insert", "b", `{"old":null,"new":{"id":"b","a":"c","n":2}}`))
	page, err := l.Read(t.Context(), cdc.Cursor{Epoch: epochOf(t, l)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(t.Context(), page.Events[0].Cursor(epochOf(t, l)), 1); err != nil {
		t.Errorf("the cursor of such an event: %v", err)
	}
	mustExec(t, db, "CREATE TABLE two (a TEXT NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (a, b))")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "two", Columns: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO two VALUES (CAST(x'ff' AS TEXT), 1)") },
		event("two.insert", `["x'22ff22'text",1]`, `{"old":null,"new":{"b":1}}`))
}
