package watermill_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	memlog "github.com/gapless-go/gapless/source/mem"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestMem(t *testing.T) {
	suite(t, memlog.New(nil), memlog.NewPlace(), nil)
}

func TestBolt(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "log.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store, err := boltlog.NewStore(db)
	if err != nil {
		t.Fatal(err)
	}
	log := must(store.Open(t.Context(), "messages", nil))
	suite(t, log, must(store.Place("groups")), nil)
}

func TestSQLite(t *testing.T) {
	onSQL(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "log.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate", nil)
}

func TestPostgres(t *testing.T) {
	server := testserver.StartPostgres(t)
	onSQL(t, "postgres", server.DSN("postgres"), func() {
		server.Kill()
		server.Start(t)
	})
}

func TestRedis(t *testing.T) {
	server := testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 200})
	t.Cleanup(func() { _ = client.Close() })
	store, err := redislog.NewStore(client)
	if err != nil {
		t.Fatal(err)
	}
	log := must(store.Open(t.Context(), "messages", nil))
	suite(t, log, must(store.Place("groups")), func() {
		server.Kill()
		server.Restart()
	})
}

func onSQL(t *testing.T, driver, dsn string, restart func()) {
	t.Helper()
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(80)
	db.SetMaxIdleConns(80)
	store := must(sqllog.NewStore(t.Context(), db, nil))
	t.Cleanup(func() { _ = store.Close() })
	var log cdc.Log = must(store.Open(t.Context(), "messages", nil))
	var place cdc.Place[*sql.Tx] = must(store.Place(t.Context(), "groups", nil))
	suite(t, log, place, restart)
}
