package sqllog_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/source/sql/sqltest"
)

// TestCaptureWithATopicForEachRowOnPostgres moves a row between topics, and takes
// a key away in a statement that gives it to another topic.
func TestCaptureWithATopicForEachRowOnPostgres(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE o (id bigint PRIMARY KEY, customer text, v int)")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "o", Topic: "orders", TopicColumns: []string{"customer"}, Columns: []string{"v"}, Type: "o"}); err != nil {
		t.Fatal(err)
	}
	at := func(topic, kind, key, data string) cdc.Event {
		e := event(kind, key, data)
		e.Topic = topic
		return e
	}
	sqltest.Emits(t, l, func() { mustExec(t, db, "INSERT INTO o VALUES (1, 'a/b%', 1), (2, NULL, 1)") },
		at("orders/a%2Fb%25", "o.insert", "1", `{"old":null,"new":{"v":1}}`), at("orders/", "o.insert", "2", `{"old":null,"new":{"v":1}}`))
	sqltest.Emits(t, l, func() { mustExec(t, db, "UPDATE o SET customer = 'c', v = 2 WHERE id = 1") },
		at("orders/a%2Fb%25", "o.delete", "1", `{"old":{"v":1},"new":null}`), at("orders/c", "o.insert", "1", `{"old":null,"new":{"v":2}}`))
	mustExec(t, db, "WITH d AS (DELETE FROM o WHERE id = 1 RETURNING *) INSERT INTO o SELECT id, 'd', v FROM d")
	topics := map[string]string{}
	for _, e := range readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}) {
		topics[e.Key] = e.Topic
		if strings.HasSuffix(e.Type, "delete") {
			delete(topics, e.Key)
		}
	}
	if topics["1"] != "orders/d" {
		t.Errorf("the latest events say that row 1 is in %q, want orders/d", topics["1"])
	}
}

func TestCaptureWithMetaAndNumbersAsTextOnPostgres(t *testing.T) {
	for _, v := range variants[:3] {
		l, db := v.fresh(t)
		db.SetMaxOpenConns(2)
		mustExec(t, db, "CREATE TABLE k (id bigint PRIMARY KEY, n numeric, a bigint[], i int)")
		if err := l.Capture(t.Context(), sqllog.Table{Name: "k", NumbersAsText: true, Meta: map[string]sqllog.MetaSource{"user": {Setting: "app.user_id"}, "tx": {TransactionID: true}}}); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "BEGIN; SET LOCAL app.user_id = 'it''s me'; INSERT INTO k VALUES (9223372036854775807, 1.50, '{1,2}', 3); UPDATE k SET i = 4; COMMIT")
		mustExec(t, db, "DELETE FROM k")
		events := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)})
		if len(events) != 3 {
			t.Fatalf("%s: got %d events, want 3", v.name, len(events))
		}
		first, second, third := events[0].Meta, events[1].Meta, events[2].Meta
		if first["user"] != "it's me" || first["tx"] == "" || first["tx"] != second["tx"] || third["tx"] == first["tx"] || third["user"] != "" {
			t.Errorf("%s: meta %v, %v, %v", v.name, first, second, third)
		}
		if got, want := canonical(t, events[0].Data), canonical(t, []byte(`{"old":null,"new":{"id":"9223372036854775807","n":"1.50","a":["1","2"],"i":3}}`)); got != want {
			t.Errorf("%s: got %s, want %s", v.name, got, want)
		}
	}
}

// TestCaptureBySeveralLogsOnPostgres is case A3.
func TestCaptureBySeveralLogsOnPostgres(t *testing.T) {
	l, db := variants[0].fresh(t)
	second := openNamed(t, db, "second", sqllog.Options{})
	mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY)")
	for _, log := range []*sqllog.Log{l, second} {
		if err := log.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	want := event("k.insert", "1", `{"old":null,"new":{"id":1}}`)
	sqltest.Emits(t, l, func() {
		sqltest.Emits(t, second, func() { mustExec(t, db, "INSERT INTO k VALUES (1)") }, want)
	}, want)
	if err := l.Capture(t.Context(), sqllog.Table{Name: "public.k", Topic: "other"}); err == nil || !strings.Contains(err.Error(), "captures the table already") {
		t.Errorf("a second topic in one log: got %v, want it refused", err)
	}
	if err := second.RemoveCapture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
		t.Fatal(err)
	}
	sqltest.Emits(t, l, func() {
		sqltest.Emits(t, second, func() { mustExec(t, db, "DELETE FROM k") })
	}, event("k.delete", "1", `{"old":{"id":1},"new":null}`))
}

// TestATimeThatNobodyCanDecodeStopsNoStream is case A8.
func TestATimeThatNobodyCanDecodeStopsNoStream(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, "CREATE TABLE e (seq bigserial PRIMARY KEY, at timestamptz)")
	l := openNamed(t, db, "e", sqllog.Options{Columns: &sqllog.Columns{Seq: "seq", Time: "at"}})
	mustExec(t, db, "INSERT INTO e (at) VALUES ('infinity'), ('-infinity'), ('200000-01-01'), ('4000-01-01 BC'), (NULL), ('2026-01-02 00:00:00+00')")
	var got []string
	for _, e := range readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}) {
		got = append(got, fmt.Sprint(e.Time.Year()))
		if _, err := e.Time.MarshalJSON(); err != nil {
			t.Error(err)
		}
	}
	if want := "[9999 1 9999 1 1 2026]"; fmt.Sprint(got) != want {
		t.Errorf("years %v, want %s", got, want)
	}
}

// TestAppendWithPsql runs the function of docs/sql.md in psql.
func TestAppendWithPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		testserver.Missing(t, "psql", err.Error())
	}
	for _, v := range variants[:3] {
		_, dsn := v.open(t)
		l := openLog(t, connect(t, "postgres", dsn), v.opts)
		want := cdc.Event{Topic: "orders", Type: "order.paid", Key: "17", Data: []byte(`{"a":"\\"}`), Meta: map[string]string{"by": "cron"}}
		sqltest.Emits(t, l, func() {
			out, err := exec.CommandContext(t.Context(), psql, dsn, "-c", `SELECT change_log_append('orders', 'order.paid', '17', '{"a":"\\"}', meta => '{"by":"cron"}')`).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, want)
	}
}
