package drivers_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3"
	_ "github.com/uptrace/bun/driver/pgdriver"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestPgx(t *testing.T) {
	t.Parallel()
	onPostgres(t, "pgx", sqllog.Sequencer)
}

// TestPgdriver is about the driver that comes with bun. In mode Fence appends
// depend on the codes of errors.
func TestPgdriver(t *testing.T) {
	t.Parallel()
	onPostgres(t, "pg", sqllog.Fence)
}

// onPostgres runs with GAPLESS_SOAK in the other modes, too.
func onPostgres(t *testing.T, driver string, modes ...sqllog.Mode) {
	t.Helper()
	if os.Getenv("GAPLESS_SOAK") != "" {
		modes = []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit}
	}
	server := testserver.StartPostgres(t, "max_connections=300")
	proxy := testserver.StartProxy(t, server.Port)
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			h := database{driver: driver, mode: mode, dsn: func(at conformance.Place) string {
				port := server.Port
				if isSevered(at) {
					port = proxy.Port
				}
				return fmt.Sprintf("postgres://gapless@127.0.0.1:%d/postgres?sslmode=disable", port)
			}}.harness()
			h.Writers = 3
			h.Sever = func(context.Context, conformance.Place, cdc.Log) (int, error) { return proxy.Cut(), nil }
			conformance.Run(t, h)
		})
	}
}

func TestCgoSQLite(t *testing.T) {
	t.Parallel()
	h := database{driver: "sqlite3", dsn: func(at conformance.Place) string {
		return "file:" + at.Dir + "/log.db?_busy_timeout=10000&_journal_mode=WAL&_synchronous=NORMAL&_txlock=immediate"
	}}.harness()
	h.Writers = 1
	conformance.Run(t, h)
}

// isSevered reports whether the case cuts connections: those of the others do
// not go through the proxy.
func isSevered(at conformance.Place) bool {
	return at.Case == "Live/Severed" || at.Case == "Contained/Sticky/severed"
}

// database is where each case has a table of its own.
type database struct {
	driver string
	mode   sqllog.Mode
	dsn    func(conformance.Place) string
}

func (d database) harness() conformance.Harness {
	return conformance.Harness{Open: d.open, Second: d.open, Reopen: d.open, Begin: begin}
}

// handle is an open log with the pool that is its own.
type handle struct {
	*sqllog.Log
	db *sqlx.DB
}

func (h *handle) Close() error {
	err := h.Log.Close()
	if cerr := h.db.Close(); err == nil {
		err = cerr
	}
	return err
}

func (d database) open(ctx context.Context, at conformance.Place) (cdc.Log, error) {
	db, err := sqlx.Open(d.driver, d.dsn(at))
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(16)
	log, err := sqllog.Open(ctx, db, at.Name, &sqllog.Options{Mode: d.mode})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &handle{log, db}, nil
}

type transaction struct {
	log *sqllog.Log
	tx  *sqlx.Tx
}

func begin(_ context.Context, log cdc.Log) (conformance.Tx, error) {
	h := log.(*handle)
	tx, err := h.db.Beginx() // not bound to the call's context
	return transaction{h.Log, tx}, err
}

func (t transaction) Append(ctx context.Context, events ...cdc.Event) error {
	return t.log.AppendTx(ctx, t.tx, events...)
}
func (t transaction) Commit(context.Context) error   { return t.tx.Commit() }
func (t transaction) Rollback(context.Context) error { return t.tx.Rollback() }
