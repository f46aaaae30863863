package growth_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	redislog "github.com/gapless-go/gapless/source/redis"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// log is what all backends give.
type log interface {
	cdc.Log
	cdc.Appender
	cdc.Trimmer
	Close() error
}

// pool is how many connections an application allows.
const pool = 16

// backend is a way to keep logs.
type backend struct {
	name  string
	start func(t *testing.T) place
}

// place is where logs are.
type place struct {
	// open opens a log as an application does that has one.
	open func(ctx context.Context) (log, error)

	// store returns what opens many, and what closes them all.
	store func(ctx context.Context) (open func(ctx context.Context, name string) (log, error), end func() error, err error)

	connections func() int

	// analyze does what autovacuum does within a minute; nil where nobody has to.
	analyze func(ctx context.Context, name string) error
}

var backends = []backend{
	{"bbolt", startBolt},
	{"SQLite", startSQLite},
	{"PostgreSQL", startPostgres},
	{"MariaDB", startMariaDB},
	{"Redis", startRedis},
}

func startBolt(t *testing.T) place {
	path := filepath.Join(t.TempDir(), "log.db")
	return place{
		open: func(ctx context.Context) (log, error) {
			return boltlog.OpenFile(ctx, path, "one", &boltlog.FileOptions{NoSync: true})
		},
		store: func(context.Context) (func(context.Context, string) (log, error), func() error, error) {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
			if err != nil {
				return nil, nil, err
			}
			s, err := boltlog.NewStore(db)
			open := func(ctx context.Context, name string) (log, error) { return s.Open(ctx, name, nil) }
			return open, func() error { _ = s.Close(); return db.Close() }, err
		},
		connections: func() int { return 0 },
	}
}

func startSQLite(t *testing.T) place {
	p, _ := inSQL(t, "sqlite", "file:"+t.TempDir()+"/log.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	return p
}

func startPostgres(t *testing.T) place {
	p, db := inSQL(t, "postgres", testserver.StartPostgres(t, "shared_buffers=1GB", "max_wal_size=4GB").DSN("postgres"))
	p.analyze = func(ctx context.Context, name string) error {
		_, err := db.ExecContext(ctx, "ANALYZE log_"+name)
		return err
	}
	return p
}

func startMariaDB(t *testing.T) place {
	m := testserver.StartMariaDB(t, "innodb-buffer-pool-size=1G", "innodb-log-file-size=1G")
	db, err := sqlx.Open("mysql", m.DSN("mysql"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE logs"); err != nil {
		t.Fatal(err)
	}
	p, _ := inSQL(t, "mysql", m.DSN("logs"))
	return p
}

func inSQL(t *testing.T, driver, dsn string) (place, *sqlx.DB) {
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(pool)
	db.SetMaxIdleConns(pool)
	t.Cleanup(func() { _ = db.Close() })
	return place{
		open: func(ctx context.Context) (log, error) { return sqllog.Open(ctx, db, "log_one", nil) },
		store: func(ctx context.Context) (func(context.Context, string) (log, error), func() error, error) {
			s, err := sqllog.NewStore(ctx, db, nil)
			o := sqllog.Options{MaxPollInterval: time.Duration(number("GAPLESS_POLL_MS", 0)) * time.Millisecond}
			open := func(ctx context.Context, name string) (log, error) { return s.Open(ctx, "log_"+name, &o) }
			return open, s.Close, err
		},
		connections: func() int { return db.Stats().OpenConnections },
	}, db
}

func startRedis(t *testing.T) place {
	client := redis.NewClient(&redis.Options{Addr: testserver.StartRedis(t).Addr, PoolSize: pool})
	t.Cleanup(func() { _ = client.Close() })
	return place{
		open: func(ctx context.Context) (log, error) { return redislog.Open(ctx, client, "one", nil) },
		store: func(context.Context) (func(context.Context, string) (log, error), func() error, error) {
			s, err := redislog.NewStore(client)
			open := func(ctx context.Context, name string) (log, error) { return s.Open(ctx, name, nil) }
			return open, s.Close, err
		},
		connections: func() int { return int(client.PoolStats().TotalConns) },
	}
}
