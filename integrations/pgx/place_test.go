package gaplesspgx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	gaplesspgx "github.com/gapless-go/gapless/integrations/pgx"
	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func connect(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func newPlace(t *testing.T, pool *pgxpool.Pool, name string, opts *sqllog.PlaceOptions) *gaplesspgx.Place {
	t.Helper()
	place, err := gaplesspgx.NewPlace(t.Context(), pool, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := place.Close(); err != nil {
			t.Error(err)
		}
	})
	return place
}

var tables atomic.Int32

// placeStore has a list and a place in the database, and a log elsewhere.
func placeStore(t *testing.T, pool *pgxpool.Pool, opts *sqllog.PlaceOptions) placetest.Store[pgx.Tx] {
	t.Helper()
	n := tables.Add(1)
	mustExec(t, pool, fmt.Sprintf("CREATE TABLE list%d (n bigserial PRIMARY KEY, word text NOT NULL)", n))
	return placetest.Store[pgx.Tx]{
		Log:   memlog.New(nil),
		Place: newPlace(t, pool, fmt.Sprint("workers", n), opts),
		Write: func(ctx context.Context, tx pgx.Tx, text string) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO list%d (word) VALUES ($1)", n), text)
			return err
		},
		Written: func(ctx context.Context) ([]string, error) {
			rows, err := pool.Query(ctx, fmt.Sprintf("SELECT word FROM list%d ORDER BY n", n))
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, pgx.RowTo[string])
		},
	}
}

func mustExec(t *testing.T, pool *pgxpool.Pool, query string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func TestPlace(t *testing.T) {
	server := testserver.StartPostgres(t)
	first := connect(t, server.DSN("postgres"))
	simple := connect(t, server.DSN("postgres")+" default_query_exec_mode=simple_protocol") // as behind a pooler
	placetest.Run(t, func() (placetest.Store[pgx.Tx], error) {
		store := placeStore(t, first, nil)
		store.Second = newPlace(t, simple, fmt.Sprint("workers", tables.Load()), nil)
		return store, nil
	})
	for _, r := range placetest.Check(t.Context(), func() (placetest.Store[pgx.Tx], error) {
		return placeStore(t, first, &sqllog.PlaceOptions{Isolation: sql.LevelSerializable}), nil
	}, "Effective/Raced", "Effective/Zombie", "Effective/Fenced", "Effective/RenewedInTransaction") {
		if r.Err != nil {
			t.Errorf("serializable: %s: %v", r.Case.Name, r.Err)
		}
	}
}

const update = "UPDATE accounts SET n = n + 1 WHERE id = 1"

// accounts is a table with one row, and a place beside it.
func accounts(t *testing.T) (*pgxpool.Pool, *gaplesspgx.Place) {
	t.Helper()
	pool := connect(t, testserver.StartPostgres(t).DSN("postgres"))
	mustExec(t, pool, "CREATE TABLE accounts (id integer PRIMARY KEY, n integer NOT NULL)")
	mustExec(t, pool, "INSERT INTO accounts VALUES (1, 0)")
	return pool, newPlace(t, pool, "workers", &sqllog.PlaceOptions{MaxIdle: time.Second})
}

// apply runs fn in a transaction of the worker w.
func apply(t *testing.T, place *gaplesspgx.Place, fn func(ctx context.Context, tx pgx.Tx) error) error {
	t.Helper()
	return place.Apply(t.Context(), "w", revision(t, place), func(ctx context.Context, tx pgx.Tx) (cdc.Change, error) {
		return cdc.Change{}, fn(ctx, tx)
	})
}

func revision(t *testing.T, place *gaplesspgx.Place) uint64 {
	t.Helper()
	state, err := place.Load(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	return state.Revision
}

func wantAccount(t *testing.T, pool *pgxpool.Pool, want int) {
	t.Helper()
	var got int
	if err := pool.QueryRow(t.Context(), "SELECT n FROM accounts").Scan(&got); err != nil || got != want {
		t.Errorf("the account has %d, %v, want %d", got, err, want)
	}
}

// An instance that is stopped in its transaction must not keep the rows that its
// handler has written.
func TestAStoppedHandlerIsEndedByTheServer(t *testing.T) {
	pool, place := accounts(t)
	err := apply(t, place, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, update); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, update) // waits for the transaction of the handler, which is silent
		return err
	})
	if err == nil || errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Errorf("got %v, want an error and no commit", err)
	}
	wantAccount(t, pool, 1)
}

// The cursor cannot move in a transaction that the handler has ended.
func TestAHandlerThatEndsItsTransaction(t *testing.T) {
	_, place := accounts(t)
	for how, end := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"Commit":     func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		"Rollback":   func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
		"a ROLLBACK": func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "ROLLBACK"); return err },
	} {
		before := revision(t, place)
		err := apply(t, place, end)
		if f, ok := errors.AsType[*cdc.Failure](err); !ok || f.Class != cdc.Stop {
			t.Errorf("%s: got %v, want a Failure of class Stop", how, err)
		}
		if after := revision(t, place); after != before {
			t.Errorf("%s: the revision is %d, want %d", how, after, before)
		}
	}
}

func TestSavepointsAreTheHandlers(t *testing.T) {
	pool, place := accounts(t)
	err := apply(t, place, func(ctx context.Context, tx pgx.Tx) error {
		inner, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := inner.Exec(ctx, update); err != nil {
			return err
		}
		if err := inner.Rollback(ctx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, update)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantAccount(t, pool, 1)
}

func TestASmallPoolIsRefused(t *testing.T) {
	pool := connect(t, "host=127.0.0.1 pool_max_conns=2") // nobody connects
	if _, err := gaplesspgx.NewPlace(t.Context(), pool, "workers", nil); err == nil || !strings.Contains(err.Error(), "pool_max_conns") {
		t.Errorf("got %v, want an error that says what to raise", err)
	}
}

// A handler appends in its transaction, and not beside it.
func TestAppend(t *testing.T) {
	pool := connect(t, testserver.StartPostgres(t).DSN("postgres"))
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	log, err := sqllog.Open(t.Context(), db, "events", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Append(t.Context(), cdc.Event{Data: []byte("in")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errEnd := errors.New("seen what was appended in the transaction")
	var alone error
	err = cdc.Consume(ctx, log, "w", newPlace(t, pool, "workers", nil), cdc.Handler[pgx.Tx]{
		Apply: func(ctx context.Context, tx pgx.Tx, d *cdc.Delivery) error {
			if string(d.Event.Data) != "in" {
				return &cdc.Failure{Class: cdc.Stop, Err: errEnd}
			}
			_, alone = log.Append(ctx, cdc.Event{Data: []byte("alone")})
			return log.AppendTx(ctx, sqllog.Pgx(tx), cdc.Event{Data: []byte("out")})
		},
	}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
	if !errors.Is(err, errEnd) || alone == nil || !strings.Contains(alone.Error(), "AppendTx") {
		t.Errorf("Consume: %v; Append in a handler: %v, want an error that names AppendTx", err, alone)
	}
}

// TestWorkersSurviveCuts cuts the connections of a worker all the time, also in
// its commits: each event takes effect once.
func TestWorkersSurviveCuts(t *testing.T) {
	server := testserver.StartPostgres(t)
	proxy := testserver.StartProxy(t, server.Port)
	store := placeStore(t, connect(t, server.DSN("postgres")), nil)
	through := connect(t, strings.Replace(server.DSN("postgres"), fmt.Sprint(server.Port), fmt.Sprint(proxy.Port), 1))
	place := newPlace(t, through, fmt.Sprint("workers", tables.Load()), nil)
	const events = 100
	var want []string
	for i := range events {
		want = append(want, fmt.Sprint(i))
		if _, err := cdc.Append(t.Context(), store.Log, cdc.Event{Data: []byte(want[i])}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- cdc.Consume(ctx, store.Log, "w", place, cdc.Handler[pgx.Tx]{
			Apply: func(ctx context.Context, tx pgx.Tx, d *cdc.Delivery) error {
				return store.Write(ctx, tx, string(d.Event.Data))
			},
		}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: 2, MaxPause: 20 * time.Millisecond, MaxTries: -1})
	}()
	var got []string
	cuts := 0
	for last := -1; len(got) < events; time.Sleep(time.Millisecond) {
		var err error
		if got, err = store.Written(ctx); err != nil {
			t.Fatal(err)
		}
		if len(got) != last {
			last = len(got)
			time.Sleep(rand.N(30 * time.Millisecond))
			proxy.Cut()
			cuts++
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := store.Written(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, %v, want each of %d once and in order", got, err, events)
	}
	t.Logf("%d cuts", cuts)
}

// Where the context of an Apply ends before the first query of its transaction,
// pgx gives the connection up, and the pool closes it.
func TestContextsThatEndAnywhere(t *testing.T) {
	pool, place := accounts(t)
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		before := revision(t, place)
		err := place.Apply(ctx, "w", before, func(ctx context.Context, tx pgx.Tx) (cdc.Change, error) {
			_, err := tx.Exec(ctx, update)
			return cdc.Change{}, err
		})
		cancel()
		if now := revision(t, place); (err == nil) != (now == before+1) && !errors.Is(err, cdc.ErrUnknownOutcome) {
			t.Errorf("a context of %d µs: got %v, and the revision went from %d to %d", 20*i, err, before, now)
		}
	}
	wantAccount(t, pool, int(revision(t, place)))
}
