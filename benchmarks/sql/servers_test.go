package sql_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func postgres(b *testing.B) (driver, dsn string) {
	b.Helper()
	settings := append([]string{"shared_buffers=512MB", "max_wal_size=4GB"}, strings.Fields(os.Getenv("GAPLESS_POSTGRES"))...)
	return "postgres", testserver.StartPostgres(b, settings...).DSN("postgres")
}

func mariadb(b *testing.B) (driver, dsn string) {
	b.Helper()
	m := testserver.StartMariaDB(b, "innodb-buffer-pool-size=512M")
	exec(b, open(b, "mysql", m.DSN("mysql")), "CREATE DATABASE logs")
	return "mysql", m.DSN("logs")
}

func sqlite(b *testing.B) (driver, dsn string) {
	b.Helper()
	return "sqlite", "file:" + b.TempDir() + "/log.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
}

func open(b *testing.B, driver, dsn string) *sqlx.DB {
	b.Helper()
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxIdleConns(64)
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(b *testing.B, db *sqlx.DB, query string) {
	b.Helper()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		b.Fatalf("%.80s: %v", query, err)
	}
}

func openLog(b *testing.B, db *sqlx.DB, name string, o sqllog.Options) *sqllog.Log {
	b.Helper()
	l, err := sqllog.Open(context.Background(), db, name, &o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// number reads an environment variable.
func number(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

func seconds(name string, def time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil {
		return d
	}
	return def
}

// values is "(0, 0), (1, 0), …".
func values(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "(" + strconv.Itoa(i) + ", 0)"
	}
	return strings.Join(rows, ", ")
}
