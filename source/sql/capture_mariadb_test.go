package sqllog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

func TestMariaDBRefusesWhatItCannotCapture(t *testing.T) {
	k := sqllog.Table{Name: "k"}
	by := func(names ...string) sqllog.Table { return sqllog.Table{Name: "k", Key: names} }
	checkRefused(t, mariadbVariant, []refused{
		{"CREATE TABLE k (id INT, a INT UNIQUE)", by("a"), "may be NULL"},
		{"CREATE TABLE k (id INT PRIMARY KEY, a INT NOT NULL)", by("a"), "no unique index"},
		{"CREATE TABLE k (a INT NOT NULL, b INT NOT NULL, UNIQUE (a, b))", by("a"), "no unique index"},
		{"CREATE TABLE k (a VARCHAR(50) NOT NULL, UNIQUE (a(3)))", by("a"), "no unique index"},
		{"CREATE TABLE k (a LONGTEXT NOT NULL, UNIQUE (a))", by("a"), "too large for a key"},
		{"CREATE TABLE k (id INT PRIMARY KEY) ENGINE=MyISAM", k, "no transactions"},
		{"CREATE TABLE k (id INT PRIMARY KEY) ENGINE=Aria", k, "no transactions"},
		{"CREATE VIEW k AS SELECT 1 AS id", by("id"), "view"},
		{"CREATE TEMPORARY TABLE k (id INT PRIMARY KEY)", k, "does not exist"},
	})
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (a INT NOT NULL UNIQUE, b INT NOT NULL)", by("b", "a"))
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k VALUES (1, 2)") }, event("k.insert", "[2, 1]", `{"old":null,"new":{"a":1,"b":2}}`))
}

// TestMariaDBLeavesOutWhatIsTooLarge: no function returns more than
// max_allowed_packet. The user's statement succeeds, in every mode.
func TestMariaDBLeavesOutWhatIsTooLarge(t *testing.T) {
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT PRIMARY KEY, a LONGTEXT, b LONGBLOB, n INT)", sqllog.Table{Name: "k"})
	for _, c := range []struct{ mode, statement, omitted string }{
		{"TRADITIONAL", "INSERT INTO k VALUES (1, REPEAT('x', 9000000), NULL, 1)", ""},
		{"TRADITIONAL", "UPDATE k SET n = 2", "a"},
		{"", "UPDATE k SET a = 'small', b = REPEAT('x', 5000000)", "b"},
		{"", "UPDATE k SET n = 3", "b"},
		{"", "UPDATE k SET a = REPEAT('\"', 7000000), b = 'x'", "a"},
		{"", "DELETE FROM k", ""},
		{"", "INSERT INTO k VALUES (2, REPEAT('\"', 9000000), REPEAT('x', 9000000), 4)", "a b"},
	} {
		epoch := epochOf(t, l)
		mustExec(t, db, "SET sql_mode = '"+c.mode+"'")
		mustExec(t, db, c.statement)
		events := readAll(t, l, cdc.Cursor{Epoch: epoch})
		var data struct {
			Old, New map[string]any
			Omitted  map[string]string
		}
		if err := json.Unmarshal(events[len(events)-1].Data, &data); err != nil {
			t.Fatalf("%s: %v", c.statement, err)
		}
		for _, name := range []string{"a", "b", "id", "n"} {
			reason := data.Omitted[name]
			_, inOld := data.Old[name]
			_, inNew := data.New[name]
			if want := strings.Contains(c.omitted, name); want != (reason == "too large") || want == (inOld || inNew) {
				t.Errorf("mode %s, %s: column %s is omitted for the reason %q, and present %v %v", c.mode, c.statement, name, reason, inOld, inNew)
			}
		}
	}
}

// TestMariaDBVerifyCaptureSeesWhatTriggersRunWith: a user that was dropped, and
// another sql_mode, as a dump restores it.
func TestMariaDBVerifyCaptureSeesWhatTriggersRunWith(t *testing.T) {
	table := sqllog.Table{Name: "k"}
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT PRIMARY KEY)", table)
	db.SetMaxOpenConns(1)
	for _, c := range []struct{ mode, definer, want string }{
		{"", "CURRENT_USER", "is not what Capture would make now"},
		{"STRICT_ALL_TABLES", "gone@localhost", "the database user gone@localhost"},
	} {
		var trigger struct {
			Name string `db:"trigger_name"`
			Body string `db:"action_statement"`
		}
		if err := db.Get(&trigger, "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE event_object_table = 'k' AND event_manipulation = 'INSERT' AND trigger_schema = database()"); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "SET sql_mode = '"+c.mode+"'")
		mustExec(t, db, "DROP TRIGGER "+trigger.Name)
		mustExec(t, db, "CREATE DEFINER="+c.definer+" TRIGGER "+trigger.Name+" AFTER INSERT ON k FOR EACH ROW "+trigger.Body)
		if err := l.VerifyCapture(t.Context(), table); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("VerifyCapture: got %v, want %q", err, c.want)
		}
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if err := l.VerifyCapture(t.Context(), table); err != nil {
			t.Errorf("VerifyCapture after Capture: %v", err)
		}
		mustExec(t, db, "INSERT INTO k VALUES (1)")
		mustExec(t, db, "DELETE FROM k")
	}
}

// TestMariaDBCapturesOtherDatabases than the log's.
func TestMariaDBCapturesOtherDatabases(t *testing.T) {
	l, db := mariadbVariant.fresh(t)
	db.SetMaxOpenConns(1)
	var own string
	if err := db.Get(&own, "SELECT database()"); err != nil {
		t.Fatal(err)
	}
	other := own + "_other"
	table := sqllog.Table{Name: other + ".k"}
	mustExec(t, db, "CREATE DATABASE "+other)
	mustExec(t, db, "CREATE TABLE "+other+".k (id INT PRIMARY KEY)")
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	if err := l.VerifyCapture(t.Context(), table); err != nil {
		t.Error(err)
	}
	mustExec(t, db, "USE "+other)
	mustExec(t, db, "INSERT INTO k VALUES (1)")
	mustExec(t, db, "USE "+own)
	if events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}); len(events) != 1 || events[0].Key != "1" {
		t.Errorf("got %v, want one event", events)
	}
	if err := l.RemoveCapture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "DELETE FROM "+other+".k") })
}

// TestMariaDBValuesDoNotDependOnTheSession: zones, modes and character sets.
func TestMariaDBValuesDoNotDependOnTheSession(t *testing.T) {
	table := sqllog.Table{Name: "k", TopicColumns: []string{"c"}, NumbersAsText: true, Meta: map[string]sqllog.MetaSource{"who's": {Variable: "w'ho"}}}
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id TIMESTAMP(2) NOT NULL PRIMARY KEY, c CHAR(5), z SMALLINT ZEROFILL, y YEAR, big BIGINT, d DECIMAL(5,2), f FLOAT)", table)
	want := ""
	for _, setting := range []string{
		"SET time_zone = '+00:00'", "SET time_zone = '+05:30'", "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'", "SET sql_mode = ''",
		"SET sql_mode = 'ORACLE'", "SET NAMES latin1", "SET collation_connection = ucs2_bin", "SET lc_time_names = 'de_DE'", "SET div_precision_increment = 0",
	} {
		mustExec(t, db, setting)
		mustExec(t, db, "SET @`w'ho` = 'alice'")
		mustExec(t, db, "INSERT INTO k VALUES (FROM_UNIXTIME(1767323045.67), 'a/b', 5, 0, 9007199254740993, 1.5, 0.1)")
		mustExec(t, db, "DELETE FROM k")
		mustExec(t, db, "SET NAMES utf8mb4")
		events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
		e := events[len(events)-1]
		got := fmt.Sprintf("%s %s %s %v", e.Topic, e.Key, e.Data, e.Meta)
		if want == "" {
			want = `k/a%2Fb 2026-01-02 03:04:05.67 {"old": {"big": "9007199254740993", "c": "a/b", "d": "1.50", "f": 0.1, "id": "2026-01-02 03:04:05.67", "y": 0, "z": 5}, "new": null} map[who's:alice]`
		}
		if got != want {
			t.Errorf("after %s:\ngot  %s\nwant %s", setting, got, want)
		}
	}
}

// TestMariaDBMeta is left out where the variable is not set, or too long.
func TestMariaDBMeta(t *testing.T) {
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT AUTO_INCREMENT PRIMARY KEY)", sqllog.Table{Name: "k", Meta: map[string]sqllog.MetaSource{"who": {Variable: "who"}}})
	for value, want := range map[string]string{
		"NULL": "", "7": "7", "1.50": "1.50", "X'ff41'": "ff41", "'é\"'": "é\"", "X'41'": "A", "REPEAT('x', 5000)": "", "_latin1 X'e9'": "é", "''": "",
	} {
		mustExec(t, db, "SET @who = "+value)
		mustExec(t, db, "INSERT INTO k VALUES ()")
		events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
		if got := events[len(events)-1].Meta["who"]; got != want {
			t.Errorf("@who = %s: got %q, want %q", value, got, want)
		}
	}
}

// TestMariaDBUpdateIgnore fires triggers for rows that it leaves as they are.
func TestMariaDBUpdateIgnore(t *testing.T) {
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT PRIMARY KEY, u VARCHAR(9) UNIQUE, n INT)", sqllog.Table{Name: "k", Columns: []string{"u"}})
	mustExec(t, db, "INSERT INTO k VALUES (2, 'a', 0), (3, 'b', 0)")
	sqltest.Emits(t, l, func() {
		mustExec(t, db, "UPDATE IGNORE k SET id = id + 1 WHERE id = 2")
		mustExec(t, db, "UPDATE IGNORE k SET u = 'b', n = 1")
	})
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE IGNORE k SET id = id + 1 ORDER BY id DESC") },
		event("k.delete", "3", `{"old":{"u":"b"},"new":null}`), event("k.insert", "4", `{"old":null,"new":{"u":"b"}}`),
		event("k.delete", "2", `{"old":{"u":"a"},"new":null}`), event("k.insert", "3", `{"old":null,"new":{"u":"a"}}`))
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE IGNORE k SET u = UPPER(u)") },
		event("k.update", "3", `{"old":{"u":"a"},"new":{"u":"A"}}`), event("k.update", "4", `{"old":{"u":"b"},"new":{"u":"B"}}`))
}

// TestMariaDBColumnsThatTheServerComputes: in the trigger, a virtual column does
// not know the AUTO_INCREMENT yet; a versioned table has the end of a row in its
// primary key.
func TestMariaDBColumnsThatTheServerComputes(t *testing.T) {
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT AUTO_INCREMENT PRIMARY KEY, twice INT AS (id * 2) VIRTUAL) WITH SYSTEM VERSIONING", sqllog.Table{Name: "k"})
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO k () VALUES (), ()") },
		event("k.insert", "1", `{"old":null,"new":{"id":1,"twice":2}}`), event("k.insert", "2", `{"old":null,"new":{"id":2,"twice":4}}`))
}

// TestMariaDBKeysOfAllDigits: a FLOAT shows six.
func TestMariaDBKeysOfAllDigits(t *testing.T) {
	l, db := freshCapture(t, mariadbVariant, "CREATE TABLE k (id FLOAT PRIMARY KEY)", sqllog.Table{Name: "k"})
	mustExec(t, db, "INSERT INTO k VALUES (16777215), (16777216)")
	events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
	if len(events) != 2 || events[0].Key == events[1].Key {
		t.Errorf("got %v, want two keys", events)
	}
}

// TestMariaDBLeavesNothingOfItsTrial behind, in the log and beside the table.
func TestMariaDBLeavesNothingOfItsTrial(t *testing.T) {
	l, db := mariadbVariant.fresh(t)
	mustExec(t, db, "CREATE TABLE k (id INT PRIMARY KEY, a TEXT)")
	mustExec(t, db, "INSERT INTO k VALUES (1, 'x'), (2, 'y')")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
		t.Fatal(err)
	}
	if events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}); len(events) > 0 {
		t.Errorf("got %v, want no event", events)
	}
	var left []string
	if err := db.Select(&left, "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name NOT LIKE 'change_log%'"); err != nil || len(left) != 1 {
		t.Errorf("got the tables %v, %v, want k alone", left, err)
	}
}

// TestMariaDBWaitsForNoReader: behind a lock that Capture waits for, all other
// statements of the table would wait.
func TestMariaDBWaitsForNoReader(t *testing.T) {
	t.Parallel() // it waits
	l, db := mariadbVariant.fresh(t)
	table := sqllog.Table{Name: "k"}
	mustExec(t, db, "CREATE TABLE k (id INT PRIMARY KEY)")
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT * FROM k"); err != nil {
		t.Fatal(err)
	}
	if err := l.Capture(t.Context(), table); err == nil || !strings.Contains(err.Error(), "1205") {
		t.Errorf("got %v, want a timeout of the lock", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
}

// TestMariaDBRefusesStatementBasedLogging: the server then refuses every read of
// the log, in READ COMMITTED.
func TestMariaDBRefusesStatementBasedLogging(t *testing.T) {
	server := testserver.StartMariaDB(t, "log-bin=bin", "binlog-format=MIXED")
	admin := connect(t, "mysql", server.DSN("mysql"))
	mustExec(t, admin, "CREATE DATABASE s")
	openLog(t, connect(t, "mysql", server.DSN("s")), sqllog.Options{})
	_, err := sqllog.Open(t.Context(), connect(t, "mysql", server.DSN("s")+"?binlog_format='STATEMENT'"), "change_log", nil)
	if _, ok := errors.AsType[*sqllog.SchemaError](err); !ok || !strings.Contains(fmt.Sprint(err), "binlog_format") {
		t.Errorf("a session with binlog_format=STATEMENT: got %v, want it refused", err)
	}
	mustExec(t, admin, "SET GLOBAL binlog_format = 'STATEMENT'")
	if _, err := sqllog.Open(t.Context(), connect(t, "mysql", server.DSN("s")), "change_log", nil); err == nil || !strings.Contains(err.Error(), "binlog_format") {
		t.Errorf("a server with binlog_format=STATEMENT: got %v, want it refused", err)
	}
}
