package orm_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	_ "github.com/mattn/go-sqlite3"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "github.com/uptrace/bun/driver/pgdriver"
	gormmysql "gorm.io/driver/mysql"
	gormpostgres "gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestMain(m *testing.M) {
	leaktest.Main(m, "gorm.io/gorm/internal/lru.") // statements that gorm keeps never end
}

var databases atomic.Int64

// TestPostgres runs with GAPLESS_SOAK every mapper in every mode.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := testserver.StartPostgres(t)
	fresh := func(t *testing.T) string { return server.DSN(database(t, "postgres", server.DSN("postgres"))) }
	url := func(t *testing.T) string {
		return fmt.Sprintf("postgres://gapless@127.0.0.1:%d/%s?sslmode=disable", server.Port, database(t, "postgres", server.DSN("postgres")))
	}
	for name, open := range map[string]func(*testing.T) mapper{
		"bun over pq":       func(t *testing.T) mapper { return openBun(t, "postgres", fresh(t), pgdialect.New()) },
		"bun over pgx":      func(t *testing.T) mapper { return openBun(t, "pgx", fresh(t), pgdialect.New()) },
		"bun over pgdriver": func(t *testing.T) mapper { return openBun(t, "pg", url(t), pgdialect.New()) },
		"gorm":              func(t *testing.T) mapper { return openGorm(t, gormpostgres.Open(fresh(t)), false) },
		"gorm, prepared":    func(t *testing.T) mapper { return openGorm(t, gormpostgres.Open(fresh(t)), true) },
		"gorm, simple protocol": func(t *testing.T) mapper {
			return openGorm(t, gormpostgres.New(gormpostgres.Config{DSN: fresh(t), PreferSimpleProtocol: true}), false)
		},
	} {
		modes := []sqllog.Mode{sqllog.Sequencer}
		if name == "bun over pq" || name == "gorm" || os.Getenv("GAPLESS_SOAK") != "" {
			modes = append(modes, sqllog.Fence, sqllog.AtCommit)
		}
		t.Run(name, func(t *testing.T) { suite(t, open, modes...) })
	}
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	server := testserver.StartMariaDB(t)
	fresh := func(t *testing.T) string { return server.DSN(database(t, "mysql", server.DSN("mysql"))) }
	for name, open := range map[string]func(*testing.T) mapper{
		"bun":            func(t *testing.T) mapper { return openBun(t, "mysql", fresh(t), mysqldialect.New()) },
		"gorm":           func(t *testing.T) mapper { return openGorm(t, gormmysql.Open(fresh(t)), false) },
		"gorm, prepared": func(t *testing.T) mapper { return openGorm(t, gormmysql.Open(fresh(t)), true) },
	} {
		t.Run(name, func(t *testing.T) { suite(t, open, sqllog.Sequencer) })
	}
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) string {
		return "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	}
	cgo := func(t *testing.T) string {
		return "file:" + filepath.Join(t.TempDir(), "app.db") + "?_busy_timeout=10000&_journal_mode=WAL&_txlock=immediate"
	}
	for name, open := range map[string]func(*testing.T) mapper{
		"bun": func(t *testing.T) mapper { return openBun(t, "sqlite", fresh(t), sqlitedialect.New()) },
		"gorm": func(t *testing.T) mapper {
			return openGorm(t, gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: fresh(t)}), false)
		},
		"gorm, prepared": func(t *testing.T) mapper {
			return openGorm(t, gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: fresh(t)}), true)
		},
		"gorm with cgo": func(t *testing.T) mapper { return openGorm(t, gormsqlite.Open(cgo(t)), false) },
	} {
		t.Run(name, func(t *testing.T) { suite(t, open, sqllog.SingleWriter) })
	}
}

// database makes one on a server.
func database(t *testing.T, driver, admin string) string {
	t.Helper()
	db, err := sql.Open(driver, admin)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("t%d", databases.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return name
}
