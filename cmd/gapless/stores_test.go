package main_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/internal/testserver"
)

// store is a kind of store with an address that is new for each test.
type store struct {
	name    string
	address func(t *testing.T) string
}

var stores = []store{
	{"bolt", func(t *testing.T) string { return "bolt:" + filepath.Join(t.TempDir(), "app.db") }},
	{"sqlite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "app.db") }},
	{"postgres", freshPostgres},
	{"mariadb", freshMariaDB},
	{"redis", freshRedis},
}

// each runs the test over every kind of store that is named, or over all. Those
// in NATS are in test/jetstream.
func each(t *testing.T, test func(t *testing.T, address string), names ...string) {
	for _, s := range stores {
		if len(names) == 0 || strings.Contains(strings.Join(names, " "), s.name) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				test(t, s.address(t))
			})
		}
	}
}

// shared servers end with the test binary.
var shared struct {
	mu       sync.Mutex
	postgres *testserver.Postgres
	mariadb  *testserver.MariaDB
	redis    *testserver.Redis
	lasting  testserver.Lasting
}

var names atomic.Int64

func newName() string { return fmt.Sprintf("t%d", names.Add(1)) }

func freshPostgres(t *testing.T) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.postgres == nil {
		shared.postgres = testserver.StartPostgres(shared.lasting.TB(t))
	}
	name := newName()
	execute(t, "postgres", shared.postgres.DSN("postgres"), "CREATE DATABASE "+name)
	return fmt.Sprintf("postgres://gapless@127.0.0.1:%d/%s?sslmode=disable", shared.postgres.Port, name)
}

func freshMariaDB(t *testing.T) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.mariadb == nil {
		shared.mariadb = testserver.StartMariaDB(shared.lasting.TB(t))
	}
	name := newName()
	execute(t, "mysql", shared.mariadb.DSN("mysql"), "CREATE DATABASE "+name)
	return fmt.Sprintf("mariadb://root@127.0.0.1:%d/%s", shared.mariadb.Port, name)
}

func freshRedis(t *testing.T) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.redis == nil {
		shared.redis = testserver.StartRedis(shared.lasting.TB(t))
	}
	return "redis://" + shared.redis.Addr + "/0/" + newName()
}

// database is driver and DSN of an address.
func database(address string) (driver, dsn string) {
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "mariadb":
		rest = strings.TrimPrefix(rest, "//root@")
		host, name, _ := strings.Cut(rest, "/")
		return "mysql", "root@tcp(" + host + ")/" + name
	case "sqlite":
		return "sqlite", "file:" + rest + "?_pragma=busy_timeout(10000)"
	}
	return scheme, address
}

// execute runs statements in a database.
func execute(t *testing.T, driver, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// redisClient reaches the server of an address.
func redisClient(t *testing.T, address string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(address[:strings.LastIndex(address, "/")])
	if err != nil {
		t.Fatal(err)
	}
	return redis.NewClient(options)
}

// redisKeys are those of scratch logs: other tests have keys of their own.
func redisKeys(t *testing.T, address string) string {
	t.Helper()
	client := redisClient(t, address)
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*scratch*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(keys, " ")
}
