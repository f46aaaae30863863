package drivers_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestPgx runs with GAPLESS_SOAK in the other modes, too.
func TestPgx(t *testing.T) {
	t.Parallel()
	modes := []sqllog.Mode{sqllog.Sequencer}
	if os.Getenv("GAPLESS_SOAK") != "" {
		modes = append(modes, sqllog.Fence, sqllog.AtCommit)
	}
	server := testserver.StartPostgres(t, "max_connections=300")
	proxy := testserver.StartProxy(t, server.Port)
	direct := server.DSN("postgres")
	through := strings.Replace(direct, fmt.Sprint(server.Port), fmt.Sprint(proxy.Port), 1)
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			h := database{driver: "pgx", mode: mode, dsn: func(at conformance.Place) string {
				if isSevered(at) {
					return through
				}
				return direct
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
