package sqllog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestLogsOfAStoreShareTheConnectionThatIsKept has as many logs as the pool has
// connections: if each kept one, none would be left to read with.
func TestLogsOfAStoreShareTheConnectionThatIsKept(t *testing.T) {
	const logs = 4
	for _, v := range []variant{variants[1], variants[4]} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			db := connect(t, driver, dsn)
			db.SetMaxOpenConns(logs)
			store, err := sqllog.NewStore(t.Context(), db, nil)
			if err != nil {
				t.Fatal(err)
			}
			var all []*sqllog.Log
			for n := range logs {
				l, err := store.Open(t.Context(), fmt.Sprint("log", n), &v.opts)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, l)
			}
			var group sync.WaitGroup
			for _, l := range all {
				group.Go(func() { appendAndFollow(t, l, 20) })
			}
			group.Wait()
			if kept := db.Stats().InUse; kept > 1 {
				t.Errorf("%d connections are in use by %d idle logs, want at most 1", kept, logs)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
			if used := db.Stats().InUse; used != 0 {
				t.Errorf("%d connections are in use after Close", used)
			}
			if _, err := all[0].Bounds(t.Context()); !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("Bounds of a log of a closed store: got %v, want ErrClosed", err)
			}
			if _, err := store.Open(t.Context(), "later", &v.opts); !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("Open of a closed store: got %v, want ErrClosed", err)
			}
		})
	}
}

// appendAndFollow wants a subscription to tell of each event.
func appendAndFollow(t *testing.T, l *sqllog.Log, events int) {
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer sub.Close()
	for i := range events {
		r, err := l.Append(t.Context(), cdc.Event{Type: "n"})
		if err != nil {
			t.Error(err)
			return
		}
		for n := 0; n <= i; n = len(readAll(t, l, cdc.Cursor{Epoch: r.Epoch})) {
			if _, err := sub.Next(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// TestALogOfAStoreOutlivesTheOthers: closing one log takes nothing from those
// that share its connection.
func TestALogOfAStoreOutlivesTheOthers(t *testing.T) {
	v := variants[1]
	driver, dsn := v.open(t)
	store, err := sqllog.NewStore(t.Context(), connect(t, driver, dsn), &sqllog.StoreOptions{Dialect: sqllog.Postgres})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, err := store.Open(t.Context(), "first", &v.opts)
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Open(t.Context(), "second", &v.opts)
	if err != nil {
		t.Fatal(err)
	}
	appendAndFollow(t, first, 3)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	appendAndFollow(t, second, 3)
}

// TestTheDialectIsAskedOfTheServer: a *sql.DB does not say what it speaks.
func TestTheDialectIsAskedOfTheServer(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		driver, dsn := v.open(t)
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		log, err := sqllog.Open(t.Context(), db, "change_log", &v.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.AppendTx(t.Context(), tx, cdc.Event{Type: "n"}); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if got := readAll(t, log, cdc.Cursor{Epoch: epochOf(t, log)}); len(got) != 1 {
			t.Errorf("got %d events, want 1", len(got))
		}
	})
}

func TestWrongOptionsAreRefused(t *testing.T) {
	driver, dsn := freshSQLite(t)
	db := connect(t, driver, dsn)
	for _, c := range []struct {
		name string
		opts sqllog.Options
		want string
	}{
		{"", sqllog.Options{}, "the name of the log is empty"},
		{"main.", sqllog.Options{}, "the name of the log is empty"},
		{"l", sqllog.Options{PollInterval: -1}, "Options.PollInterval is -1ns"},
		{"l", sqllog.Options{MaxPollInterval: -time.Second}, "Options.MaxPollInterval is -1s"},
		{"l", sqllog.Options{PollInterval: time.Second, MaxPollInterval: time.Millisecond}, "below the PollInterval"},
		{"l", sqllog.Options{MaxEventBytes: -1}, "Options.MaxEventBytes is -1"},
		{"l", sqllog.Options{ListenDSN: "host=x"}, "no LISTEN on sqlite"},
		{"l", sqllog.Options{Mode: sqllog.Fence}, `mode "fence" does not exist on sqlite: use one of [single-writer]`},
		{"l", sqllog.Options{Dialect: "oracle"}, `the dialect "oracle" is unknown`},
		{"l", sqllog.Options{Columns: &sqllog.Columns{ID: "id"}}, "Options.Columns.Seq is empty"},
	} {
		if _, err := sqllog.Open(t.Context(), db, c.name, &c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %+v: got %v, want %q", c.name, c.opts, err, c.want)
		}
	}
	for want, opts := range map[string]sqllog.Options{
		"keeps its own table":     {Columns: &sqllog.Columns{Seq: "n"}},
		"does not exist on mysql": {Mode: sqllog.AtCommit},
	} {
		if _, err := sqllog.Schema(sqllog.MySQL, "l", &opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v on MySQL: got %v, want %q", opts, err, want)
		}
	}
}

// TestLogsThatLeaveNoConnectionAreRefused: each log that is opened alone keeps a
// connection, and the last of the pool is nobody's.
func TestLogsThatLeaveNoConnectionAreRefused(t *testing.T) {
	for _, v := range []variant{variants[1], variants[4]} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			db := connect(t, driver, dsn)
			db.SetMaxOpenConns(3)
			openNamed(t, db, "log_1", v.opts)
			openNamed(t, db, "log_2", v.opts)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := sqllog.Open(ctx, db, "log_3", &v.opts)
			if err == nil || !strings.Contains(err.Error(), "Store") || !strings.Contains(err.Error(), "SetMaxOpenConns") {
				t.Fatalf("the third log on three connections: got %v, want an error that names Store and SetMaxOpenConns", err)
			}
			if err := db.PingContext(ctx); err != nil {
				t.Errorf("after it was refused: %v", err)
			}
		})
	}
}
