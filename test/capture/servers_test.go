package capture_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
	"github.com/gapless-go/gapless/test/capture"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// server makes databases of a dialect.
type server struct {
	driver string
	admin  string // a database that exists, empty on SQLite
	dsn    func(database string) string
	after  []string // statements for each new database
}

var databases atomic.Int64

// start starts a server that ends with the test.
func start(t *testing.T, d capture.Dialect) server {
	t.Helper()
	switch d {
	case capture.Postgres:
		s := testserver.StartPostgres(t, "max_prepared_transactions=10", "max_connections=100", "synchronous_commit=off", "jit=off", "autovacuum=off")
		db := connect(t, "postgres", s.DSN("postgres"))
		exec(t, db, "CREATE ROLE weak LOGIN")
		return server{"postgres", "postgres", s.DSN, []string{"REVOKE CREATE ON SCHEMA public FROM PUBLIC"}}
	case capture.MariaDB:
		s := testserver.StartMariaDB(t, "max_allowed_packet=2M")
		return server{"mysql", "mysql", s.DSN, nil}
	}
	folder := t.TempDir()
	return server{driver: "sqlite", dsn: func(name string) string {
		return "file:" + filepath.Join(folder, name) + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"
	}}
}

// judge makes two databases and the logs in one of them.
func (s server) judge(t *testing.T, d capture.Dialect) *capture.Judge {
	t.Helper()
	j := &capture.Judge{Dialect: d, Plain: s.database(t), Captured: s.database(t)}
	logs, err := capture.OpenLogs(t.Context(), d, j.Captured.DB)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range logs {
			_ = l.Close()
		}
	})
	j.Logs = logs
	return j
}

func (s server) database(t *testing.T) capture.Twin {
	t.Helper()
	name := fmt.Sprintf("d%d", databases.Add(1))
	if s.admin != "" {
		exec(t, connect(t, s.driver, s.dsn(s.admin)), "CREATE DATABASE "+name)
	}
	db := connect(t, s.driver, s.dsn(name))
	for _, text := range s.after {
		exec(t, db, text)
	}
	sessions := connect(t, s.driver, s.dsn(name))
	sessions.SetMaxIdleConns(-1)
	return capture.Twin{DB: db, Sessions: sessions}
}

func connect(t *testing.T, driver, dsn string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sqlx.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
