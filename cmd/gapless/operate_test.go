package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestCaptureCommands(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		driver, dsn := database(address)
		execute(t, driver, dsn, "CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, customer INTEGER)", "CREATE TABLE stock (id INTEGER NOT NULL PRIMARY KEY)")
		ok(t, numbered(1, 3), "append", "-s", address)
		if got := ok(t, "", "capture", "list", "-s", address); strings.Contains(got, "orders") {
			t.Error(got)
		}
		refused(t, 2, []string{"TRIGGER", "--yes"}, "capture", "add", "orders", "-s", address)
		refused(t, 4, nil, "verify", "-s", address, "--capture", "stock")
		ok(t, "", "capture", "add", "orders", "--topic-columns", "customer", "-s", address, "--yes")
		ok(t, "", "capture", "add", "stock", "-s", address, "--yes")
		if got := ok(t, "", "capture", "list", "-s", address, "--json"); got != `[{"table":"orders","topic":"orders","topicColumns":["customer"],"type":"orders"},{"table":"stock","topic":"stock","type":"stock"}]`+"\n" {
			t.Error(got)
		}
		if got := ok(t, "", "capture", "print", "stock", "-s", address); !strings.Contains(got, "TRIGGER") {
			t.Error(got)
		}
		execute(t, driver, dsn, "INSERT INTO orders VALUES (1, 7)", "INSERT INTO stock VALUES (1)")
		if got := ok(t, "", "tail", "--once", "-s", address, "--topic", "orders/7"); len(events(t, got)) != 1 {
			t.Errorf("the topic of a row: %s", got)
		}
		if got := ok(t, "", "verify", "-s", address, "--capture", "stock"); !strings.HasPrefix(got, "5 events read, 0 problems") {
			t.Error(got)
		}
		ok(t, "", "capture", "remove", "orders", "-s", address, "--yes")
		refused(t, 1, []string{"none"}, "capture", "add", "none", "-s", address, "--yes")
		execute(t, driver, dsn, "DROP TABLE change_log_head")
		r := run(t, "", "verify", "-s", address)
		if r.code != 4 || !strings.Contains(r.out, "change_log_head") {
			t.Errorf("without a table: exit %d %s%s", r.code, r.out, r.err)
		}
	}, "sqlite", "postgres", "mariadb")
}

func TestVerifyComparesAStreamWithItsLog(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
	ok(t, numbered(1, 1500), "append", "-s", address)
	s := serve(t, "-s", address)
	if got := ok(t, "", "verify", "-s", address, "--stream", s.url+"/events", "--json"); got != `{"problems":[],"events":1500}`+"\n" {
		t.Error(got)
	}
	driver, dsn := database(address)
	execute(t, driver, dsn, "UPDATE change_log SET data = '{}' WHERE seq = 1234")
	other := "sqlite:" + filepath.Join(t.TempDir(), "other.db")
	ok(t, numbered(1, 1500), "append", "-s", other)
	r := run(t, "", "verify", "-s", other, "--stream", s.url+"/events")
	if r.code != 4 || !strings.Contains(r.out, "another log") {
		t.Errorf("another log: exit %d %s%s", r.code, r.out, r.err)
	}
	copied := strings.TrimPrefix(address, "sqlite:") + ".copy"
	execute(t, driver, dsn, "VACUUM INTO '"+copied+"'", "UPDATE change_log SET data = '[]' WHERE seq = 1234")
	r = run(t, "", "verify", "-s", "sqlite:"+copied, "--stream", s.url+"/events")
	if r.code != 4 || !strings.Contains(r.out, "seq 1234 differs") {
		t.Errorf("another event: exit %d %s%s", r.code, r.out, r.err)
	}
}

// withWorker stores a worker that has parked two events.
func withWorker(t *testing.T, address string) {
	t.Helper()
	all := events(t, ok(t, "", "tail", "--once", "-s", address))
	cursor, err := cdc.ParseCursor(all[5].Cursor)
	if err != nil {
		t.Fatal(err)
	}
	scheme, path, _ := strings.Cut(address, ":")
	switch scheme {
	case "bolt":
		log, err := boltlog.OpenFile(t.Context(), path, "events", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		place, err := log.Store().Place("workers")
		park(t, place, err, cursor)
	case "redis":
		client := redisClient(t, address)
		defer client.Close()
		store, err := redislog.NewStore(client)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		place, err := store.Place("workers")
		park(t, place, err, cursor)
	default:
		db, err := sql.Open(database(address))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		store, err := sqllog.NewStore(t.Context(), db, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		place, err := store.Place(t.Context(), "workers", nil)
		park(t, place, err, cursor)
	}
}

// park takes the lease of a worker and parks two events.
func park[T any](t *testing.T, place cdc.Place[T], err error, cursor cdc.Cursor) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	lease, err := place.Lease(t.Context(), "mailer", "instance-1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	err = place.Apply(t.Context(), "mailer", lease.Revision, func(context.Context, T) (cdc.Change, error) {
		return cdc.Change{Cursor: cursor, Park: []cdc.Parked{
			{Key: "o-2", Event: cdc.Event{Seq: 2, Type: "order.created", Key: "o-2"}, Reason: "no such address", Tries: 5},
			{Key: "o-4", Event: cdc.Event{Seq: 4, Type: "order.created", Key: "o-4"}, Reason: "refused", Tries: 5},
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConsumers(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		ok(t, numbered(1, 10), "append", "-s", address)
		if scheme, _, _ := strings.Cut(address, ":"); scheme == "sqlite" {
			refused(t, 1, []string{"--place"}, "consumers", "list", "-s", address)
		}
		withWorker(t, address)
		list := func() (w struct {
			Name, State, Holder string
			Behind, Parked      int
		},
		) {
			all := json.RawMessage(ok(t, "", "consumers", "list", "-s", address, "--json"))
			if err := json.Unmarshal(all[1:len(all)-2], &w); err != nil {
				t.Fatalf("%s: %v", all, err)
			}
			return w
		}
		if w := list(); w.Name != "mailer" || w.State != "working" || w.Holder != "instance-1" || w.Behind != 4 || w.Parked != 2 {
			t.Errorf("list: %+v", w)
		}
		if got := ok(t, "", "consumers", "parked", "mailer", "-s", address); !strings.Contains(got, "no such address") || !strings.Contains(got, "o-4") {
			t.Error(got)
		}
		ok(t, "", "consumers", "pause", "mailer", "-s", address)
		ok(t, "", "consumers", "drop", "mailer", "2", "-s", address)
		ok(t, "", "consumers", "retry", "mailer", "4", "-s", address)
		ok(t, "", "consumers", "seek", "mailer", events(t, ok(t, "", "tail", "--once", "-s", address))[7].Cursor, "-s", address)
		if w := list(); w.State != "paused" || w.Behind != 2 || w.Parked != 1 {
			t.Errorf("list: %+v", w)
		}
		ok(t, "", "consumers", "resume", "mailer", "-s", address)
		refused(t, 1, []string{"consumers list"}, "consumers", "pause", "mialer", "-s", address)
		refused(t, 2, []string{"no seq"}, "consumers", "drop", "mailer", "x", "-s", address)
	}, "bolt", "sqlite", "postgres", "redis")
}

// TestCertifyAndBench leave nothing behind, and open no log that exists.
func TestCertifyAndBench(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		ok(t, numbered(1, 3), "append", "-s", address)
		before := contents(t, address)
		report := filepath.Join(t.TempDir(), "report.json")
		got := ok(t, "", "certify", "-s", address, "--cases", "Atomic/*,Idempotent/*", "--report", report)
		if !strings.HasPrefix(got, "partial: ") || !strings.Contains(got, " 0 failed") {
			t.Error(got)
		}
		text, err := os.ReadFile(report)
		if err != nil || !strings.Contains(string(text), `"verdict"`) {
			t.Errorf("the report: %v %.200s", err, text)
		}
		if got := ok(t, "", "bench", "-s", address, "--span", "50ms", "--json"); !strings.Contains(got, `"deliveryP99":"`) {
			t.Error(got)
		}
		if after := contents(t, address); after != before {
			t.Errorf("left behind: %s, before %s", after, before)
		}
		refused(t, 2, []string{"no case"}, "certify", "-s", address, "--cases", "Nothing/*")
		refused(t, 2, []string{".html"}, "certify", "-s", address, "--report", "x.pdf")
	})
}

// contents names what is in the store of the address.
func contents(t *testing.T, address string) string {
	t.Helper()
	scheme, path, _ := strings.Cut(address, ":")
	var names []string
	query := "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'gapless%' ORDER BY 1"
	switch scheme {
	case "bolt", "sqlite":
		files, err := filepath.Glob(filepath.Dir(path) + "/*")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(files, " ")
	case "redis":
		return redisKeys(t, address)
	}
	driver, dsn := database(address)
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
