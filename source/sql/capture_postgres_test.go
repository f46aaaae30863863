package sqllog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

// folded is what a reader has who keeps the latest row of each key.
func folded(t *testing.T, l cdc.Log) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, e := range readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}) {
		var data struct {
			New json.RawMessage `json:"new"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		switch {
		case strings.HasSuffix(e.Type, ".truncate"):
			clear(rows)
		case string(data.New) == "null":
			delete(rows, e.Key)
		default:
			rows[e.Key] = canonical(t, data.New)
		}
	}
	return rows
}

// wantFold compares the fold with the rows of the table, of which key is the
// expression of the key.
func wantFold(t *testing.T, l cdc.Log, db *sqlx.DB, table, key string) {
	t.Helper()
	rows, err := db.Query("SELECT " + key + ", row_to_json(whole.*)::text FROM " + table + " whole")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	want := map[string]string{}
	for rows.Next() {
		var k, row string
		if err := rows.Scan(&k, &row); err != nil {
			t.Fatal(err)
		}
		want[k] = canonical(t, []byte(row))
	}
	if got := folded(t, l); !maps.Equal(got, want) {
		t.Errorf("the fold of the events:\n%v\nthe table:\n%v", got, want)
	}
}

// TestCaptureFoldsToTheTableOnPostgres has statements after which a reader once
// had another table than the database.
func TestCaptureFoldsToTheTableOnPostgres(t *testing.T) {
	for _, c := range foldCases {
		for _, v := range variants[:3] {
			t.Run(c.name+"/"+engineMode(v), func(t *testing.T) {
				t.Parallel()
				l, db := v.fresh(t)
				db.SetMaxOpenConns(3)
				create, insert, _ := strings.Cut(c.create, "; INSERT")
				mustExec(t, db, create)
				if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
					t.Fatal(err)
				}
				if insert != "" {
					mustExec(t, db, "INSERT"+insert)
				}
				mustExec(t, db, c.run)
				key := c.key
				if key == "" {
					key = "id::text"
				}
				wantFold(t, l, db, "k", key)
			})
		}
	}
}

func engineMode(v variant) string { _, mode, _ := strings.Cut(v.name, "/"); return mode }

// TestCaptureOfManyRowsAfterOneIsLinear is case A1: the plan that was made for
// one row is kept.
func TestCaptureOfManyRowsAfterOneIsLinear(t *testing.T) {
	l, db := variants[0].fresh(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY, v int)")
	mustExec(t, db, "INSERT INTO k SELECT i, i FROM generate_series(1, 20000) i; ANALYZE k")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
		t.Fatal(err)
	}
	for range 7 { // after five, a plan may be kept
		mustExec(t, db, "UPDATE k SET v = v + 1 WHERE id = 1")
	}
	for _, query := range []string{"UPDATE k SET v = v + 1", "UPDATE k SET id = id + 100000", "DELETE FROM k"} {
		start := time.Now()
		mustExec(t, db, query)
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("%s took %v for 20,000 rows", query, took)
		}
	}
}

// TestCaptureKeepsWhatTheSessionSees is case A9.
func TestCaptureKeepsWhatTheSessionSees(t *testing.T) {
	for _, v := range []variant{variants[0], variants[2]} {
		t.Run(engineMode(v), func(t *testing.T) {
			t.Parallel()
			l, db := v.fresh(t)
			db.SetMaxOpenConns(1)
			mustExec(t, db, "CREATE SEQUENCE other START 500; CREATE TABLE k (id serial PRIMARY KEY, v int)")
			if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "SELECT nextval('other')")
			mustExec(t, db, "INSERT INTO k (v) VALUES (1), (2), (3)")
			var got int64
			if err := db.Get(&got, "SELECT lastval()"); err != nil || got != 3 {
				t.Errorf("lastval() = %d, %v, want 3, the user's", got, err)
			}
		})
	}
}

// TestCaptureIntoJSONB is case A11: what json takes and jsonb does not goes in
// as text.
func TestCaptureIntoJSONB(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, "CREATE TABLE events (seq bigserial PRIMARY KEY, topic text, type text, key text, data jsonb, at timestamptz NOT NULL DEFAULT now())")
	l := openNamed(t, db, "events", sqllog.Options{Columns: &sqllog.Columns{Seq: "seq", Topic: "topic", Type: "type", Key: "key", Data: "data", Time: "at"}})
	mustExec(t, db, `CREATE TYPE boxed AS (j json); CREATE TABLE k (id int PRIMARY KEY, j json, many json[], b boxed); INSERT INTO k VALUES (0, '"\u0000"')`)
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k", Columns: []string{"j", "many", "b"}}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "UPDATE k SET j = '1'")
	for value, want := range map[string]string{
		`"\u0000"`: `"\"\\u0000\""`, `1e200000`: `"1e200000"`, `"\ud800"`: `"\"\\ud800\""`, `"\ude00\ud83d"`: `"\"\\ude00\\ud83d\""`,
		`"\ud83d\ude00"`: `"😀"`, `"\\u0000"`: `"\\u0000"`, `{"a": [1e3]}`: `{"a":[1000]}`, `["0e12345"]`: `["0e12345"]`,
	} {
		mustExec(t, db, "TRUNCATE k")
		epoch := epochOf(t, l)
		before := readAll(t, l, cdc.Cursor{Epoch: epoch})
		mustExec(t, db, "INSERT INTO k VALUES (1, E'"+strings.ReplaceAll(value, `\`, `\\`)+"', ARRAY[E'"+strings.ReplaceAll(value, `\`, `\\`)+"']::json[], ROW(E'"+strings.ReplaceAll(value, `\`, `\\`)+"'))")
		events := readAll(t, l, cdc.Cursor{Epoch: epoch})[len(before):]
		var data struct{ New struct{ J json.RawMessage } }
		if len(events) != 1 || json.Unmarshal(events[0].Data, &data) != nil || canonical(t, data.New.J) != canonical(t, []byte(want)) {
			t.Errorf("%s: got %s, want %s", value, data.New.J, want)
		}
	}
}

// TestCaptureOfBytesInsideOtherTypes is case A16.
func TestCaptureOfBytesInsideOtherTypes(t *testing.T) {
	l, db := variants[0].fresh(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE DOMAIN raw AS bytea; CREATE TYPE boxed AS (b bytea); CREATE TABLE k (id int PRIMARY KEY, a bytea[], c boxed, d raw, e xml)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k", Columns: []string{"a", "c", "d"}}); err != nil {
		t.Fatal(err)
	}
	for i, format := range []string{"hex", "escape"} {
		mustExec(t, db, "SET bytea_output = "+format)
		sqltest.Emits(t, l, func() {
			mustExec(t, db, fmt.Sprintf(`INSERT INTO k VALUES (%d, ARRAY['\x00ff'::bytea], ROW('\x00ff'), '\x00ff')`, i))
		},
			event("k.insert", fmt.Sprint(i), `{"old":null,"new":{"a":["\\x00ff"],"c":{"b":"\\x00ff"},"d":"00ff"}}`))
	}
}

// TestCaptureGoesOnAfterAMigration is case A13, with the table renamed as well.
func TestCaptureGoesOnAfterAMigration(t *testing.T) {
	for _, c := range []struct{ migration, write, want string }{
		{"ALTER TABLE m RENAME COLUMN a TO z", "UPDATE m SET z = 5 WHERE id = 1", `{"old":{"id":1,"z":2,"b":"ff","n":"3"},"new":{"id":1,"z":5,"b":"ff","n":"3"}}`},
		{"ALTER TABLE m DROP COLUMN a", "UPDATE m SET n = 4 WHERE id = 1", `{"old":{"id":1,"b":"ff","n":"3"},"new":{"id":1,"b":"ff","n":"4"}}`},
		{"ALTER TABLE m RENAME COLUMN id TO key", "UPDATE m SET a = 5 WHERE key = 1", `{"old":{"key":1,"a":2,"b":"ff","n":"3"},"new":{"key":1,"a":5,"b":"ff","n":"3"}}`},
		{"ALTER TABLE m RENAME TO moved", "UPDATE moved SET a = 5 WHERE id = 1", `{"old":{"id":1,"a":2,"b":"ff","n":"3"},"new":{"id":1,"a":5,"b":"ff","n":"3"}}`},
		{"ALTER TABLE m ALTER COLUMN b TYPE text USING encode(b, 'hex')", "UPDATE m SET a = 5 WHERE id = 1", `{"old":{"id":1,"a":2,"b":"ff","n":"3"},"new":{"id":1,"a":5,"b":"ff","n":"3"}}`},
		{"ALTER TABLE m ADD COLUMN later int", "UPDATE m SET a = 5 WHERE id = 1", `{"old":{"id":1,"a":2,"b":"ff","n":"3"},"new":{"id":1,"a":5,"b":"ff","n":"3"}}`},
	} {
		t.Run(c.migration, func(t *testing.T) {
			l, db := variants[0].fresh(t)
			mustExec(t, db, "CREATE TABLE m (id int PRIMARY KEY, a int, b bytea, n numeric)")
			table := sqllog.Table{Name: "m", Columns: []string{"id", "a", "b", "n"}, NumbersAsText: true}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, `INSERT INTO m VALUES (1, 2, '\xff', 3)`)
			mustExec(t, db, c.migration)
			before := len(readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}))
			mustExec(t, db, c.write)
			events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})[before:]
			if len(events) != 1 || events[0].Key != "1" || canonical(t, events[0].Data) != canonical(t, []byte(c.want)) {
				t.Errorf("got %v, want key 1 and %s", events, c.want)
			}
			_, told := errors.AsType[*sqllog.SchemaError](l.VerifyCapture(t.Context(), table))
			if !told && !strings.Contains(c.migration, "ADD COLUMN") && l.VerifyCapture(t.Context(), table) == nil {
				t.Error("VerifyCapture finds nothing wrong")
			}
		})
	}
}

// TestCaptureAgainLocksNobodyOut is case A14.
func TestCaptureAgainLocksNobodyOut(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY)")
	table := sqllog.Table{Name: "k"}
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	reader, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback() }()
	var n int
	if err := reader.Get(&n, "SELECT count(*) FROM k"); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"SELECT 1", "ALTER FUNCTION k_to_change_log_row() RESET jit", "CREATE OR REPLACE FUNCTION k_to_change_log_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"} {
		mustExec(t, db, change)
		start := time.Now()
		if err := l.Capture(t.Context(), table); err != nil {
			t.Errorf("Capture after %s while somebody reads: %v", change, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Capture after %s waited %v for a reader", change, took)
		}
	}
	if err := l.RemoveCapture(t.Context(), table); err == nil || !strings.Contains(err.Error(), "holds a lock") {
		t.Errorf("RemoveCapture while somebody reads: got %v, want the lock to be named", err)
	}
}

// TestCaptureSeesWritesToAPartitionByItsName: they fire its own triggers alone.
// A partition that is made later is told of, one that is detached says nothing.
func TestCaptureSeesWritesToAPartitionByItsName(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			l, db := v.fresh(t)
			table := sqllog.Table{Name: "parted", Columns: []string{"id", "n"}}
			for _, create := range []string{
				"CREATE TABLE parted (id int, n int, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
				`CREATE TABLE "low %s" (n int, id int NOT NULL)`, // other numbers of its columns
				`ALTER TABLE parted ATTACH PARTITION "low %s" FOR VALUES FROM (0) TO (10)`,
				"CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (30) PARTITION BY RANGE (id)",
				"CREATE TABLE higher PARTITION OF high FOR VALUES FROM (20) TO (30)",
			} {
				mustExec(t, db, create)
			}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			insert := func(id string) cdc.Event { return event("parted.insert", id, `{"old":null,"new":{"id":`+id+`,"n":1}}`) }
			sqltest.Emits(t, l, func() {
				mustExec(t, db, `INSERT INTO "low %s" (id, n) VALUES (1, 1)`)
				mustExec(t, db, "INSERT INTO high VALUES (21, 1)")
				mustExec(t, db, "INSERT INTO higher VALUES (22, 1)")
				mustExec(t, db, "INSERT INTO parted VALUES (2, 1)")
				mustExec(t, db, `UPDATE "low %s" SET n = 2 WHERE id = 1`)
				mustExec(t, db, `DELETE FROM "low %s" WHERE id = 1`)
			}, insert("1"), insert("21"), insert("22"), insert("2"),
				event("parted.update", "1", `{"old":{"id":1,"n":1},"new":{"id":1,"n":2}}`), event("parted.delete", "1", `{"old":{"id":1,"n":2},"new":null}`))
			mustExec(t, db, "CREATE TABLE later PARTITION OF parted FOR VALUES FROM (30) TO (40)")
			wantVerify(t, l, table, "the partitions later,")
			mustExec(t, db, `ALTER TABLE parted DETACH PARTITION "low %s"`)
			sqltest.Emits(t, l, func() { mustExec(t, db, `INSERT INTO "low %s" (id, n) VALUES (3, 1)`) })
			wantVerify(t, l, table, `"low %s" has triggers of this table`)
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			wantVerify(t, l, table, "")
			sqltest.Emits(t, l, func() { mustExec(t, db, "ALTER TABLE parted RENAME n TO m; INSERT INTO later VALUES (31, 1)") },
				event("parted.insert", "31", `{"old":null,"new":{"id":31,"m":1}}`))
			if err := l.RemoveCapture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO later VALUES (32, 1)") })
		})
	}
}

// wantVerify wants VerifyCapture to say that; empty: nothing.
func wantVerify(t *testing.T, l *sqllog.Log, table sqllog.Table, want string) {
	t.Helper()
	if err := l.VerifyCapture(t.Context(), table); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("VerifyCapture: got %v, want %q", err, want)
	}
}

// TestCaptureOfATableThatTookAName: the table that had it keeps no trigger, and
// RemoveCapture leaves no function, whatever became of the table.
func TestCaptureOfATableThatTookAName(t *testing.T) {
	l, db := variants[0].fresh(t)
	table := sqllog.Table{Name: "sw"}
	mustExec(t, db, "CREATE TABLE sw (id int PRIMARY KEY)")
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "ALTER TABLE sw RENAME TO sw_old; CREATE TABLE sw (id int PRIMARY KEY)")
	wantVerify(t, l, table, "sw_old has triggers of this table")
	if err := l.Capture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO sw_old VALUES (1); INSERT INTO sw VALUES (2)") },
		event("sw.insert", "2", `{"old":null,"new":{"id":2}}`))
	mustExec(t, db, "ALTER TABLE sw RENAME TO gone; CREATE TABLE sw (id int PRIMARY KEY)")
	if err := l.RemoveCapture(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Get(&left, "SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'sw_%') + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'sw_%')"); err != nil || left > 0 {
		t.Errorf("%d triggers and functions are left, %v", left, err)
	}
}

// TestVerifyCaptureSeesAnHeir: writes to a table that inherits would not be seen.
func TestVerifyCaptureSeesAnHeir(t *testing.T) {
	table := sqllog.Table{Name: "k"}
	l, db := freshCapture(t, variants[0], "CREATE TABLE k (id int PRIMARY KEY)", table)
	mustExec(t, db, "CREATE TABLE heir () INHERITS (k)")
	wantVerify(t, l, table, "is inherited from")
}
