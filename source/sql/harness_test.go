package sqllog_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// variant is a dialect and mode under test.
type variant struct {
	name string
	opts sqllog.Options
	open func(tb testing.TB) (driver, dsn string) // a fresh database
}

var variants = []variant{
	{"postgres/sequencer", sqllog.Options{}, freshPostgres},
	{"postgres/fence", sqllog.Options{Mode: sqllog.Fence}, freshPostgres},
	{"postgres/at-commit", sqllog.Options{Mode: sqllog.AtCommit}, freshPostgres},
	{"mariadb", sqllog.Options{}, freshMariaDB},
	{"sqlite", sqllog.Options{}, freshSQLite},
}

// shared servers live as long as the test binary.
var shared struct {
	mu       sync.Mutex
	lasting  testserver.Lasting
	postgres *testserver.Postgres
	mariadb  *testserver.MariaDB
}

var databases atomic.Int64

func freshPostgres(tb testing.TB) (driver, dsn string) {
	tb.Helper()
	shared.mu.Lock()
	if shared.postgres == nil {
		shared.postgres = testserver.StartPostgres(shared.lasting.TB(tb), "max_prepared_transactions=10", "max_connections=500")
	}
	server := shared.postgres
	shared.mu.Unlock()
	name := fmt.Sprintf("t%d", databases.Add(1))
	admin := connect(tb, "postgres", server.DSN("postgres"))
	mustExec(tb, admin, "CREATE DATABASE "+name)
	return "postgres", server.DSN(name)
}

func freshMariaDB(tb testing.TB) (driver, dsn string) {
	tb.Helper()
	shared.mu.Lock()
	if shared.mariadb == nil {
		shared.mariadb = testserver.StartMariaDB(shared.lasting.TB(tb))
	}
	server := shared.mariadb
	shared.mu.Unlock()
	name := fmt.Sprintf("t%d", databases.Add(1))
	mustExec(tb, connect(tb, "mysql", server.DSN("mysql")), "CREATE DATABASE "+name)
	return "mysql", server.DSN(name)
}

// serverPort is that of the shared server, which has been started.
func serverPort(driver string) int {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if driver == "postgres" {
		return shared.postgres.Port
	}
	return shared.mariadb.Port
}

func freshSQLite(tb testing.TB) (driver, dsn string) {
	tb.Helper()
	return "sqlite", "file:" + filepath.Join(tb.TempDir(), "log.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
}

// connect opens a pool that ends with the test.
func connect(tb testing.TB, driver, dsn string) *sqlx.DB {
	tb.Helper()
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(tb testing.TB, db sqlx.ExecerContext, query string) {
	tb.Helper()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

func openLog(tb testing.TB, db *sqlx.DB, o sqllog.Options) *sqllog.Log {
	tb.Helper()
	return openNamed(tb, db, "change_log", o)
}

func openNamed(tb testing.TB, db *sqlx.DB, name string, o sqllog.Options) *sqllog.Log {
	tb.Helper()
	l, err := sqllog.Open(context.Background(), db, name, &o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return l
}

// fresh is a log in a database of its own.
func (v variant) fresh(tb testing.TB) (*sqllog.Log, *sqlx.DB) {
	tb.Helper()
	driver, dsn := v.open(tb)
	db := connect(tb, driver, dsn)
	return openLog(tb, db, v.opts), db
}

// appendInTx appends in a transaction that holds nothing else.
func appendInTx(tb testing.TB, l *sqllog.Log, db *sqlx.DB, events ...cdc.Event) {
	tb.Helper()
	tx, err := db.Beginx()
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.AppendTx(tb.Context(), tx, events...); err != nil {
		tb.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// readAll reads everything above after.
func readAll(tb testing.TB, l cdc.Log, after cdc.Cursor) []cdc.Event {
	tb.Helper()
	var all []cdc.Event
	for {
		page, err := l.Read(tb.Context(), after, 100)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, page.Events...)
		if page.Next == after.Seq {
			return all
		}
		after = cdc.Cursor{Epoch: after.Epoch, Seq: page.Next}
	}
}

func epochOf(tb testing.TB, l cdc.Log) string {
	tb.Helper()
	b, err := l.Bounds(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return b.Epoch
}
