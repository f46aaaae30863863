package consume_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
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

func must[V any](v V, err error) func(b *testing.B) V {
	return func(b *testing.B) V {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func openMem(*testing.B) target[*memlog.PlaceTx] {
	n := 0
	return target[*memlog.PlaceTx]{
		memlog.New(nil), memlog.NewPlace(),
		func(context.Context, *memlog.PlaceTx, cdc.Event) error { n++; return nil },
		func(_ context.Context, fn func(*memlog.PlaceTx) error) error { return fn(nil) },
	}
}

func openBolt(b *testing.B) target[*bbolt.Tx] {
	b.Helper()
	db := must(bbolt.Open(filepath.Join(b.TempDir(), "b.db"), 0o600, nil))(b)
	b.Cleanup(func() { _ = db.Close() })
	store := must(boltlog.NewStore(db))(b)
	bucket := []byte("b")
	return target[*bbolt.Tx]{
		must(store.Open(b.Context(), "log", nil))(b), must(store.Place("workers"))(b),
		func(_ context.Context, tx *bbolt.Tx, e cdc.Event) error {
			in, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			return in.Put([]byte(e.Key), e.Data)
		},
		func(_ context.Context, fn func(*bbolt.Tx) error) error { return db.Update(fn) },
	}
}

func openRedis(b *testing.B) target[redis.Pipeliner] {
	b.Helper()
	client := redis.NewClient(&redis.Options{Addr: testserver.StartRedis(b).Addr})
	b.Cleanup(func() { _ = client.Close() })
	store := must(redislog.NewStore(client))(b)
	return target[redis.Pipeliner]{
		must(store.Open(b.Context(), "log", nil))(b), must(store.Place("workers"))(b),
		func(ctx context.Context, tx redis.Pipeliner, _ cdc.Event) error {
			return tx.Incr(ctx, "{workers}n").Err()
		},
		func(ctx context.Context, fn func(redis.Pipeliner) error) error {
			_, err := client.TxPipelined(ctx, fn)
			return err
		},
	}
}

// server is a database.
type server struct {
	name, driver string
	start        func(b *testing.B) (dsn string)
}

var servers = []server{
	{"sqlite", "sqlite", func(b *testing.B) string {
		return "file:" + filepath.Join(b.TempDir(), "b.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	}},
	{"postgres", "postgres", func(b *testing.B) string { return testserver.StartPostgres(b).DSN("postgres") }},
	{"mariadb", "mysql", func(b *testing.B) string { return testserver.StartMariaDB(b).DSN("mysql") }},
}

func openSQL(b *testing.B, s server) target[*sql.Tx] {
	b.Helper()
	db := must(sql.Open(s.driver, s.start(b)))(b)
	b.Cleanup(func() { _ = db.Close() })
	must(db.ExecContext(b.Context(), "CREATE TABLE n (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"))(b)
	must(db.ExecContext(b.Context(), "INSERT INTO n VALUES (1, 0)"))(b)
	store := must(sqllog.NewStore(b.Context(), db, nil))(b)
	return target[*sql.Tx]{
		must(store.Open(b.Context(), "log", nil))(b), must(store.Place(b.Context(), "workers", nil))(b),
		func(ctx context.Context, tx *sql.Tx, _ cdc.Event) error {
			_, err := tx.ExecContext(ctx, "UPDATE n SET n = n + 1 WHERE id = 1")
			return err
		},
		func(ctx context.Context, fn func(*sql.Tx) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }() // does nothing after a commit
			if err := fn(tx); err != nil {
				return err
			}
			return tx.Commit()
		},
	}
}
