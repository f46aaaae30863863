package sqllog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

func engineName(v variant) string {
	name, _, _ := strings.Cut(v.name, "/")
	return name
}

// TestCaptureOfKeysThatAreBytes: the key is text on every connection, alone and
// among several.
func TestCaptureOfKeysThatAreBytes(t *testing.T) {
	kind := map[string]string{"postgres": "bytea", "mariadb": "BINARY(3)", "sqlite": "BLOB"}
	value := map[string]string{"postgres": `'\xff00c3'`, "mariadb": "X'ff00c3'", "sqlite": "X'ff00c3'"}
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		e := engineName(v)
		mustExec(t, db, "CREATE TABLE one (k "+kind[e]+" NOT NULL PRIMARY KEY, n INTEGER)")
		mustExec(t, db, "CREATE TABLE two (k "+kind[e]+" NOT NULL, j INTEGER NOT NULL, n INTEGER, PRIMARY KEY (k, j))")
		for _, name := range []string{"one", "two"} {
			if err := l.Capture(t.Context(), sqllog.Table{Name: name, Columns: []string{"n"}}); err != nil {
				t.Fatal(err)
			}
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO one VALUES ("+value[e]+", 1)") },
			event("one.insert", "ff00c3", `{"old":null,"new":{"n":1}}`))
		two := `["ff00c3", 5]`
		if e == "sqlite" {
			two = `["ff00c3",5]`
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO two VALUES ("+value[e]+", 5, 1)") },
			event("two.insert", two, `{"old":null,"new":{"n":1}}`))
	})
}

// TestCaptureDoesNotDependOnTheSession: the same row has the same key and data
// whoever writes it.
func TestCaptureDoesNotDependOnTheSession(t *testing.T) {
	driver, dsn := freshPostgres(t)
	l, db := openLog(t, connect(t, driver, dsn), sqllog.Options{}), connect(t, driver, dsn)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE s (at timestamptz, d date, b bytea, f float8, i interval, PRIMARY KEY (at, d, b, f, i))")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	insert := func(setting string) cdc.Event {
		mustExec(t, db, "RESET ALL; "+setting)
		mustExec(t, db, `INSERT INTO s VALUES ('2026-03-04 05:06:07+00', '2026-03-04', decode('ff', 'hex'), 0.1::float8 + 0.2, '1 day 2 hours'); DELETE FROM s`)
		epoch := epochOf(t, l)
		events := readAll(t, l, cdc.Cursor{Epoch: epoch})
		return events[len(events)-1]
	}
	want := insert("SELECT 1")
	for _, setting := range []string{
		"SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'German'", "SET bytea_output = 'escape'",
		"SET extra_float_digits = -5", "SET IntervalStyle = 'iso_8601'", "SET standard_conforming_strings = off", "SET client_min_messages = error; SET search_path = pg_catalog, public",
	} {
		if got := insert(setting); got.Key != want.Key || string(got.Data) != string(want.Data) {
			t.Errorf("after %s:\ngot  %s %s\nwant %s %s", setting, got.Key, got.Data, want.Key, want.Data)
		}
	}
}

// TestCaptureKeepsBackslashes whatever a backslash means in a string literal.
func TestCaptureKeepsBackslashes(t *testing.T) {
	for mode, v := range map[string]variant{
		"SELECT 1":                              variants[4],
		"SET standard_conforming_strings = off": variants[0],
		"SET standard_conforming_strings = on":  variants[0],
		"SET sql_mode = ''":                     variants[3],
		"SET sql_mode = 'ANSI'":                 variants[3],
		"SET sql_mode = 'NO_BACKSLASH_ESCAPES'": variants[3],
		"SET sql_mode = 'STRICT_ALL_TABLES'":    variants[3],
		"SET sql_mode = 'ANSI,PIPES_AS_CONCAT'": variants[3],
	} {
		t.Run(mode, func(t *testing.T) {
			l, db := v.fresh(t)
			db.SetMaxOpenConns(1)
			mustExec(t, db, mode)
			mustExec(t, db, quoted(db, `CREATE TABLE b (id INTEGER PRIMARY KEY, "a\b'" INTEGER)`))
			table := sqllog.Table{Name: "b", Topic: `back\slash'\`, Type: `t\n`}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			if err := l.VerifyCapture(t.Context(), table); err != nil {
				t.Error(err)
			}
			want := event(`t\n.insert`, "1", `{"old":null,"new":{"id":1,"a\\b'":2}}`)
			want.Topic = `back\slash'\`
			sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO b VALUES (1, 2)") }, want)
		})
	}
}

// TestCaptureNeedsAKeyThatIsOne: without a unique key the rows of a bulk UPDATE
// cannot be paired on PostgreSQL.
func TestCaptureNeedsAKeyThatIsOne(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE k (a integer, b integer NOT NULL, c integer NOT NULL)")
	for _, key := range [][]string{{"b"}, {"b", "c"}} {
		if err := l.Capture(t.Context(), sqllog.Table{Name: "k", Key: key}); err == nil || !strings.Contains(err.Error(), "unique") {
			t.Errorf("key %v: got %v, want it refused", key, err)
		}
	}
	mustExec(t, db, "CREATE UNIQUE INDEX ON k (c)")
	mustExec(t, db, "CREATE UNIQUE INDEX ON k (a)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k", Key: []string{"a"}}); err == nil || !strings.Contains(err.Error(), "NULL") {
		t.Errorf("a key that may be NULL: got %v, want it refused", err)
	}
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k", Key: []string{"b", "c"}, Columns: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "INSERT INTO k SELECT 1000 + i, 1, i FROM generate_series(1, 3) i")
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE k SET a = -a WHERE c = 2") },
		event("k.update", "[1, 2]", `{"old":{"a":1002},"new":{"a":-1002}}`))
}

// TestCaptureOfATableWithItsSchema names it on every dialect.
func TestCaptureOfATableWithItsSchema(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		schema := map[string]string{"postgres": "public", "sqlite": "main"}[engineName(v)]
		if schema == "" {
			if err := db.Get(&schema, "SELECT database()"); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, db, "CREATE TABLE q (id INTEGER PRIMARY KEY)")
		table := sqllog.Table{Name: schema + ".q"}
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if err := l.VerifyCapture(t.Context(), table); err != nil {
			t.Error(err)
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO q VALUES (1)") }, event("q.insert", "1", `{"old":null,"new":{"id":1}}`))
		if err := l.RemoveCapture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "DELETE FROM q") })
	})
}

func TestTheLogItselfIsNotCaptured(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		for _, name := range []string{"change_log", "change_log_head", "change_log_inbox"} {
			mustExec(t, db, "CREATE TABLE IF NOT EXISTS "+name+" (id INTEGER PRIMARY KEY)")
			if err := l.Capture(t.Context(), sqllog.Table{Name: name}); err == nil || !strings.Contains(err.Error(), "is the log's own") {
				t.Errorf("Capture(%s): got %v, want it refused", name, err)
			}
		}
	})
}

// TestCaptureAfterTablesChangedPlaces is what online schema changes do: the
// triggers go with the old table.
func TestCaptureAfterTablesChangedPlaces(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		table := sqllog.Table{Name: "sw"}
		mustExec(t, db, "CREATE TABLE sw (id INTEGER PRIMARY KEY)")
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "CREATE TABLE sw_new (id INTEGER PRIMARY KEY)")
		mustExec(t, db, "ALTER TABLE sw RENAME TO sw_old")
		mustExec(t, db, "ALTER TABLE sw_new RENAME TO sw")
		if _, ok := errors.AsType[*sqllog.SchemaError](l.VerifyCapture(t.Context(), table)); !ok {
			t.Error("VerifyCapture finds nothing wrong with a table that has no triggers")
		}
		if err := l.Capture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO sw VALUES (1)") }, event("sw.insert", "1", `{"old":null,"new":{"id":1}}`))
		mustExec(t, db, "DROP TABLE sw_old")
		if err := l.RemoveCapture(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCaptureOfATriggerThatWasChanged names each difference.
func TestCaptureOfATriggerThatWasChanged(t *testing.T) {
	for name, statements := range map[string][]string{
		"postgres/sequencer": {
			"DROP TRIGGER w_to_change_log_update ON w", "ALTER TABLE w DISABLE TRIGGER w_to_change_log_delete", "DROP FUNCTION w_to_change_log_row CASCADE",
			"CREATE OR REPLACE FUNCTION w_to_change_log_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
			"ALTER FUNCTION w_to_change_log_row() SECURITY INVOKER", "ALTER FUNCTION w_to_change_log_row() RESET ALL",
			"DROP TRIGGER w_to_change_log_insert ON w;; CREATE TRIGGER w_to_change_log_insert AFTER DELETE ON w REFERENCING OLD TABLE AS gapless_old EXECUTE FUNCTION w_to_change_log_row()",
		},
		"mariadb": {
			"DROP TRIGGER w_to_change_log_update", "DROP TRIGGER w_to_change_log_insert;; CREATE TRIGGER w_to_change_log_insert AFTER INSERT ON w FOR EACH ROW SET @x = 1",
			"DROP TRIGGER w_to_change_log_delete;; CREATE TRIGGER w_to_change_log_delete AFTER UPDATE ON w FOR EACH ROW BEGIN END",
		},
		"sqlite": {"DROP TRIGGER w_to_change_log_update", "DROP TRIGGER w_to_change_log_insert;; CREATE TRIGGER w_to_change_log_insert AFTER INSERT ON w BEGIN SELECT 1; END"},
	} {
		for _, v := range variants {
			if v.name != name {
				continue
			}
			l, db := v.fresh(t)
			mustExec(t, db, "CREATE TABLE w (id INTEGER PRIMARY KEY)")
			table := sqllog.Table{Name: "w"}
			for _, statement := range statements {
				if err := l.Capture(t.Context(), table); err != nil {
					t.Fatal(err)
				}
				for part := range strings.SplitSeq(statement, ";; ") {
					mustExec(t, db, part)
				}
				if _, ok := errors.AsType[*sqllog.SchemaError](l.VerifyCapture(t.Context(), table)); !ok {
					t.Errorf("%s: VerifyCapture finds nothing wrong after %s", name, statement)
				}
			}
		}
	}
}

// TestCaptureOfEveryKindOfColumn has the types that people use.
func TestCaptureOfEveryKindOfColumn(t *testing.T) {
	for name, c := range map[string]struct{ create, insert, want string }{
		"postgres/sequencer": {
			"CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"'); CREATE TABLE c (id integer PRIMARY KEY, j json, jb jsonb, b bytea, m mood, a text[], t timestamptz, tz timestamp, n numeric, f float8, u uuid, g integer GENERATED ALWAYS AS (id * 2) STORED, \"Big Name\" bigint, i inet)",
			`INSERT INTO c (id, j, jb, b, m, a, t, tz, n, f, u, "Big Name", i) VALUES (1, '{"a":  [1]}', '{"a":  [1]}', '\x00ff', 'it''s "ok"', '{"x","y z",NULL}', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05', 12345678901234567890.123456789, 'NaN', '123e4567-e89b-12d3-a456-426614174000', 9223372036854775807, '10.0.0.1/8')`,
			`{"old":null,"new":{"id":1,"j":{"a":[1]},"jb":{"a":[1]},"b":"00ff","m":"it's \"ok\"","a":["x","y z",null],"t":"2026-01-02T03:04:05.678901+00:00","tz":"2026-01-02T03:04:05","n":12345678901234567890.123456789,"f":"NaN","u":"123e4567-e89b-12d3-a456-426614174000","g":2,"Big Name":9223372036854775807,"i":"10.0.0.1/8"}}`,
		},
		"mariadb": {
			"CREATE TABLE c (id INTEGER PRIMARY KEY, j JSON, b BLOB, vb VARBINARY(4), m ENUM('sad', 'it''s \"ok\"'), s SET('x','y'), t TIMESTAMP(6) NULL, d DATETIME(3), n DECIMAL(30,9), f DOUBLE, u BIGINT UNSIGNED, bit1 BIT(9), g INTEGER AS (id * 2) STORED, gv INTEGER AS (id * 3) VIRTUAL, l VARCHAR(9) CHARACTER SET latin1, y YEAR, tm TIME, p POINT, w VARCHAR(9) CHARACTER SET utf16, i6 INET6, bo BOOLEAN)",
			`INSERT INTO c (id, j, b, vb, m, s, t, d, n, f, u, bit1, l, y, tm, p, w, i6, bo) VALUES (1, '{"a":  [1]}', X'00ff', X'ff', 'it''s "ok"', 'x,y', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678', 12345678901234567890.123456789, 1e100, 18446744073709551615, b'100000001', 'é', 2026, '-12:00:00', ST_GeomFromText('POINT(1 2)'), '🙂', '::1', true)`,
			`{"old":null,"new":{"b":"00ff","bit1":"101","bo":1,"d":"2026-01-02 03:04:05.678","f":1e100,"g":2,"gv":3,"i6":"::1","id":1,"j":{"a":[1]},"l":"é","m":"it's \"ok\"","n":12345678901234567890.123456789,"p":"POINT(1 2)","s":"x,y","t":"2026-01-02 03:04:05.678901","tm":"-12:00:00","u":18446744073709551615,"vb":"ff","w":"🙂","y":2026}}`,
		},
		"sqlite": {
			"CREATE TABLE c (id INTEGER PRIMARY KEY, j TEXT, b BLOB, n NUMERIC, r REAL, g INTEGER AS (id * 2) STORED, gv INTEGER AS (id * 3) VIRTUAL)",
			`INSERT INTO c (id, j, b, n, r) VALUES (1, '{"a":  [1]}', X'00ff', 9223372036854775807, 1e100)`,
			`{"old":null,"new":{"id":1,"j":"{\"a\":  [1]}","b":"00ff","n":9223372036854775807,"r":1.0e+100,"g":2,"gv":3}}`,
		},
	} {
		for _, v := range variants {
			if v.name != name {
				continue
			}
			l, db := v.fresh(t)
			mustExec(t, db, c.create)
			if err := l.Capture(t.Context(), sqllog.Table{Name: "c"}); err != nil {
				t.Fatal(err)
			}
			epoch := epochOf(t, l)
			mustExec(t, db, c.insert)
			got := readAll(t, l, cdc.Cursor{Epoch: epoch})
			if len(got) != 1 || !json.Valid(got[0].Data) || !utf8.Valid(got[0].Data) {
				t.Fatalf("%s: got %v", name, got)
			}
			if g, w := canonical(t, got[0].Data), canonical(t, []byte(c.want)); g != w {
				t.Errorf("%s:\ngot  %s\nwant %s", name, g, w)
			}
		}
	}
}

func canonical(t *testing.T, data []byte) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(v)
	return string(text)
}
