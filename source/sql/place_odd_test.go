package sqllog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// eachPlace runs f in a fresh database of each dialect.
func eachPlace(t *testing.T, names string, f func(t *testing.T, db *sqlx.DB)) {
	for _, v := range placeVariants {
		if !strings.Contains(names, v.name) {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			f(t, connect(t, driver, dsn))
		})
	}
}

func newPlace(t *testing.T, db *sqlx.DB, opts *sqllog.PlaceOptions) *sqllog.Place[*sql.Tx] {
	t.Helper()
	place, err := sqllog.NewPlace(t.Context(), db, db.BeginTx, "workers", opts)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// An instance that is stopped in its transaction must not keep the rows that its
// handler has written, and the session that was told so must be as before.
func TestAStoppedHandlerIsEndedByTheServer(t *testing.T) {
	eachPlace(t, "postgres mariadb", func(t *testing.T, db *sqlx.DB) {
		db.SetMaxOpenConns(3)
		mustExec(t, db, "CREATE TABLE accounts (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
		mustExec(t, db, "INSERT INTO accounts VALUES (1, 0)")
		const update = "UPDATE accounts SET n = n + 1 WHERE id = 1"
		place := newPlace(t, db, &sqllog.PlaceOptions{MaxIdle: time.Second})
		took := time.Duration(0)
		err := place.Apply(t.Context(), "w", 0, func(ctx context.Context, tx *sql.Tx) (cdc.Change, error) {
			if _, err := tx.ExecContext(ctx, update); err != nil {
				return cdc.Change{}, err
			}
			start := time.Now()
			if _, err := db.ExecContext(ctx, update); err != nil { // waits for the transaction of the handler, which is silent
				t.Error(err)
			}
			took = time.Since(start)
			return cdc.Change{}, nil
		})
		if err == nil || took > 10*time.Second {
			t.Errorf("a handler that was silent for %v: got %v, want the server to end it after 1 s", took, err)
		}
		for range 3 {
			state, err := place.Load(t.Context(), "w")
			if err != nil {
				t.Fatal(err)
			}
			if err := place.Apply(t.Context(), "w", state.Revision, func(ctx context.Context, tx *sql.Tx) (c cdc.Change, err error) {
				_, err = tx.ExecContext(ctx, update)
				return c, err
			}); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if err := db.Get(&n, "SELECT n FROM accounts"); err != nil || n != 4 {
			t.Errorf("got %d, %v, want 1 of another and 3 of handlers", n, err)
		}
		wantSettings(t, db)
	})
}

// wantSettings looks at all connections of the pool.
func wantSettings(t *testing.T, db *sqlx.DB) {
	t.Helper()
	query, want := "SHOW idle_in_transaction_session_timeout", "0"
	if db.DriverName() == "mysql" {
		query, want = "SELECT @@SESSION.wait_timeout", "28800"
	}
	for range 3 {
		conn, err := db.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var got string
		if err := conn.GetContext(t.Context(), &got, query); err != nil || got != want {
			t.Errorf("%s on a connection of the pool: got %q, %v, want %q", query, got, err, want)
		}
	}
}

func TestTakeoverSaysWhoHoldsTheState(t *testing.T) {
	eachPlace(t, "postgres mariadb", func(t *testing.T, db *sqlx.DB) {
		place := newPlace(t, db, nil)
		if _, err := place.Lease(t.Context(), "w", "first", 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTxx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var id int64
		if err := tx.Get(&id, map[string]string{"postgres": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}[db.DriverName()]); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("UPDATE workers SET revision = revision"); err != nil {
			t.Fatal(err)
		}
		// MySQL finds nothing to change in that, but has locked the row.
		time.Sleep(40 * time.Millisecond)
		_, err = place.Lease(t.Context(), "w", "second", time.Second)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(id)) || !strings.Contains(err.Error(), `"first"`) {
			t.Errorf("the state is locked: got %v, want an error that names connection %d and the instance before", err, id)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		lease, err := place.Lease(t.Context(), "w", "second", time.Second)
		if err != nil || lease.Holder != "second" || lease.Generation != 2 {
			t.Errorf("after it has ended: got %+v, %v", lease, err)
		}
	})
}

// What an append in a handler adds would stay when the handler is rolled back.
func TestAppendInAHandlerIsRefused(t *testing.T) {
	eachPlace(t, "postgres mariadb sqlite", func(t *testing.T, db *sqlx.DB) {
		log := openLog(t, db, sqllog.Options{})
		if _, err := log.Append(t.Context(), cdc.Event{Data: []byte("in")}); err != nil {
			t.Fatal(err)
		}
		place := newPlace(t, db, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		errEnd := errors.New("seen what was appended in the transaction")
		var alone error
		err := cdc.Consume(ctx, log, "w", place, cdc.Handler[*sql.Tx]{Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
			if string(d.Event.Data) != "in" {
				return &cdc.Failure{Class: cdc.Stop, Err: errEnd}
			}
			_, alone = log.Append(ctx, cdc.Event{Data: []byte("alone")})
			return log.AppendTx(ctx, tx, cdc.Event{Data: []byte("out")})
		}}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
		if !errors.Is(err, errEnd) {
			t.Errorf("Consume: got %v, want the error of class Stop", err)
		}
		if alone == nil || !strings.Contains(alone.Error(), "AppendTx") {
			t.Errorf("Append in a handler: got %v, want an error that names AppendTx", alone)
		}
		if got := readAll(t, log, cdc.Cursor{Epoch: epochOf(t, log)}); len(got) != 2 || string(got[1].Data) != "out" {
			t.Errorf("the log has %v, want two events", got)
		}
	})
}

// The cursor cannot move in a transaction that the handler has ended.
func TestAHandlerThatCommitsEndsTheWorker(t *testing.T) {
	eachPlace(t, "postgres mariadb sqlite", func(t *testing.T, db *sqlx.DB) {
		log := memlog.New(nil)
		if _, err := cdc.Append(t.Context(), log, cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := cdc.Consume(ctx, log, "w", newPlace(t, db, nil), cdc.Handler[*sql.Tx]{
			Apply: func(_ context.Context, tx *sql.Tx, _ *cdc.Delivery) error { return tx.Commit() },
		}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
		if err == nil || !strings.Contains(err.Error(), "has ended its transaction") {
			t.Errorf("got %v, want an error that says so", err)
		}
	})
}

// At higher levels of isolation the database itself refuses what is fenced. In
// MariaDB's highest every read locks, so nobody takes over from a transaction.
func TestPlaceAtOtherIsolations(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			eachPlace(t, "postgres mariadb", func(t *testing.T, db *sqlx.DB) {
				n, readsLock := 0, db.DriverName() == "mysql" && level == sql.LevelSerializable
				for _, r := range placetest.Check(t.Context(), func() (placetest.Store[*sql.Tx], error) {
					n++
					mustExec(t, db, "DROP TABLE IF EXISTS list")
					store := placeStore[*sql.Tx](t, db, readsLock)
					var err error
					store.Place, err = sqllog.NewPlace(t.Context(), db, db.BeginTx, fmt.Sprint("workers", n), &sqllog.PlaceOptions{Isolation: level})
					return store, err
				}, "Effective/Raced", "Effective/Zombie", "Effective/Fenced", "Effective/RenewedInTransaction") {
					if r.Err != nil {
						t.Errorf("%s: %v", r.Case.Name, r.Err)
					}
				}
			})
		})
	}
}

func TestPlaceRefusesWhatIsNotItsOwn(t *testing.T) {
	eachPlace(t, "postgres mariadb sqlite", func(t *testing.T, db *sqlx.DB) {
		open := func(name string, opts *sqllog.PlaceOptions) error {
			_, err := sqllog.NewPlace(t.Context(), db, db.BeginTx, name, opts)
			return err
		}
		wantPart := func(err error, want string) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		}
		mustExec(t, db, "CREATE TABLE mine (name VARCHAR(10), salary INTEGER NOT NULL)")
		err := open("mine", nil)
		wantPart(err, "give the place another name")
		if refused, ok := errors.AsType[*sqllog.PlaceSchemaError](err); !ok || refused.Place != "mine" {
			t.Errorf("got %v, want a PlaceSchemaError", err)
		}
		if _, err := db.Exec("SELECT 1 FROM mine_lease"); err == nil {
			t.Error("a table was made beside one that is not ours")
		}
		wantPart(open("", nil), "name of the place is empty")
		wantPart(open("workers", &sqllog.PlaceOptions{NoSchema: true}), "does not exist")
		dialect := map[string]sqllog.Dialect{"postgres": sqllog.Postgres, "mysql": sqllog.MySQL, "sqlite": sqllog.SQLite}[db.DriverName()]
		schema, err := sqllog.PlaceSchema(dialect, "workers")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for statement := range strings.SplitSeq(strings.TrimSuffix(schema, ";\n"), ";\n\n") {
				mustExec(t, db, statement)
			}
		}
		if err := open("workers", &sqllog.PlaceOptions{NoSchema: true, Dialect: dialect}); err != nil {
			t.Error(err)
		}
		db.SetMaxOpenConns(2)
		if db.DriverName() != "sqlite" {
			wantPart(open("workers", nil), "SetMaxOpenConns")
		}
	})
}

// TestWorkersSurviveCuts cuts the connections of a worker all the time, also in
// its commits: each event takes effect once.
func TestWorkersSurviveCuts(t *testing.T) {
	for _, open := range []func(*testing.T) server{privatePostgres, privateMariaDB} {
		s := open(t)
		t.Run(s.driver, func(t *testing.T) {
			t.Parallel()
			proxy := testserver.StartProxy(t, s.port)
			direct := connect(t, s.driver, s.dsn(s.port))
			store := placeStore[*sql.Tx](t, direct, false)
			const events = 200
			var want []string
			for i := range events {
				want = append(want, fmt.Sprint(i))
				if _, err := cdc.Append(t.Context(), store.Log, cdc.Event{Data: []byte(want[i])}); err != nil {
					t.Fatal(err)
				}
			}
			place := newPlace(t, connect(t, s.driver, s.dsn(proxy.Port)), nil)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				done <- cdc.Consume(ctx, store.Log, "w", place, cdc.Handler[*sql.Tx]{
					Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
						return store.Write(ctx, tx, string(d.Event.Data))
					},
				}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: 2, MaxPause: 20 * time.Millisecond, MaxTries: -1})
			}()
			cutAll(t, proxy, events, func() int {
				got, err := store.Written(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return len(got)
			})
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if got, err := store.Written(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %q, %v, want each of %d once and in order", got, err, events)
			}
		})
	}
}

// cutAll cuts all connections a moment after each progress, until it is n.
func cutAll(t *testing.T, proxy *testserver.Proxy, n int, progress func() int) {
	t.Helper()
	cuts := 0
	for last := -1; last < n; {
		if now := progress(); now != last {
			last = now
			time.Sleep(rand.N(30 * time.Millisecond))
			proxy.Cut()
			cuts++
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("%d cuts", cuts)
}
