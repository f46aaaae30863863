package sqllog_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

func TestConformance(t *testing.T) {
	t.Parallel() // with the same over a Hub and through a pooler
	each(t, func(t *testing.T, v variant) { conformance.Run(t, harness(t, v)) })
}

// TestConformanceOverHub runs whole and on the other variants with GAPLESS_SOAK:
// what they give to a Hub differs in nothing from what this one does, except that
// its head waits for writers in flight.
func TestConformanceOverHub(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v variant) {
		if os.Getenv("GAPLESS_SOAK") == "" && v.name != "postgres/fence" {
			t.Skip("runs with GAPLESS_SOAK")
		}
		runPart(t, conformance.OverHub(harness(t, v), &cdc.HubOptions{TailEvents: 16}), "Handoff", "Live", "Committed", "Ordered", "Atomic")
	})
}

// runPart runs the suite, without GAPLESS_SOAK those guarantees of it that may
// differ from how they are without what is in between.
func runPart(t *testing.T, h conformance.Harness, guarantees ...string) {
	t.Helper()
	if os.Getenv("GAPLESS_SOAK") != "" {
		conformance.Run(t, h)
		return
	}
	report := conformance.Check(t.Context(), h, &conformance.Options{Cases: guarantees, Dir: t.TempDir()})
	for _, failed := range report.Failed() {
		t.Error(failed)
	}
	if len(report.Results) < 20 {
		t.Errorf("%d cases were run, want those of %v", len(report.Results), guarantees)
	}
}

// stand is the database of a dialect in which each case has a table.
type stand struct {
	tb    testing.TB
	v     variant
	pools *pools            // of the server; nil on SQLite, where each place is a database
	proxy *testserver.Proxy // to the server, for the case that cuts connections
	via   string            // DSN through the proxy
}

// isSevered reports whether the connections of the case go through the proxy,
// which costs as much as the server.
func isSevered(at conformance.Place) bool {
	return at.Case == "Live/Severed" || at.Case == "Contained/Sticky/severed"
}

// handle is an open log with the pool that is its own.
type handle struct {
	*sqllog.Log
	db     *sqlx.DB
	at     conformance.Place
	giveUp func() error // the pool, once
}

func (h *handle) Close() error {
	err := h.Log.Close()
	if cerr := h.giveUp(); err == nil {
		err = cerr
	}
	return err
}

func harness(t *testing.T, v variant) conformance.Harness {
	s := &stand{tb: t, v: v}
	h := conformance.Harness{Open: s.open, Second: s.open, Reopen: s.open, Begin: s.begin, Writers: 3, Rewind: s.rewind, Break: s.breakReads} // no stored row can be unreadable, so there is no BreakEvent
	h.Crash = &conformance.Crash{Command: s.child}
	if v.name == "sqlite" {
		h.Writers = 1
		h.Lock = s.lock
		return h
	}
	driver, dsn := v.open(t)
	port := serverPort(driver)
	s.pools = newPools(t, driver, dsn)
	s.proxy = testserver.StartProxy(t, port)
	s.via = at(dsn, port, s.proxy.Port)
	h.Sever = s.sever
	return h
}

// lock holds the write lock of the file, as another process may.
func (s *stand) lock(ctx context.Context, at conformance.Place, _ cdc.Log) (func(), error) {
	db, err := sqlx.Open(s.address(at))
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTxx(ctx, nil) // immediate, by the DSN
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return func() { _, _ = tx.Rollback(), db.Close() }, nil
}

func (s *stand) sever(_ context.Context, at conformance.Place, _ cdc.Log) (int, error) {
	if !isSevered(at) {
		return 0, fmt.Errorf("the connections of case %s cannot be cut: they are not through the proxy", at.Case)
	}
	return s.proxy.Cut(), nil
}

// at is the DSN with another port.
func at(dsn string, port, other int) string {
	return strings.Replace(dsn, fmt.Sprint(port), fmt.Sprint(other), 1)
}

// address is the driver and DSN of a place's database.
func (s *stand) address(at conformance.Place) (driver, dsn string) {
	switch {
	case s.pools == nil:
		return "sqlite", "file:" + at.Dir + "/log.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
	case isSevered(at):
		return s.pools.driver, s.via
	}
	return s.pools.driver, s.pools.dsn
}

// childEnv makes the test binary a process that appends until it is killed; it
// has driver, DSN, mode and table, separated by newlines.
const childEnv = "GAPLESS_SQL_CHILD"

func (s *stand) child(ctx context.Context, at conformance.Place) *exec.Cmd {
	driver, dsn := s.address(at)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{driver, dsn, string(s.v.opts.Mode), at.Name}, "\n"))
	return cmd
}

// appendUntilKilled is the process of child.
func appendUntilKilled(spec string) error {
	words := strings.Split(spec, "\n")
	db, err := sqlx.Open(words[0], words[1])
	if err != nil {
		return err
	}
	log, err := sqllog.Open(context.Background(), db, words[3], &sqllog.Options{Mode: sqllog.Mode(words[2]), NoSchema: true})
	if err != nil {
		return err
	}
	return conformance.CrashChild(context.Background(), log, os.Stdout)
}

func (s *stand) open(ctx context.Context, at conformance.Place) (cdc.Log, error) {
	db, giveUp, err := s.pool(at)
	if err != nil {
		return nil, err
	}
	log, err := sqllog.Open(ctx, db, at.Name, &s.v.opts)
	if err != nil {
		_ = giveUp()
		return nil, err
	}
	return &handle{Log: log, db: db, at: at, giveUp: sync.OnceValue(giveUp)}, nil
}

// pool is for one handle alone, until it is given up.
func (s *stand) pool(at conformance.Place) (db *sqlx.DB, giveUp func() error, err error) {
	if s.pools != nil && !isSevered(at) {
		db, giveUp = s.pools.take()
		return db, giveUp, nil
	}
	if db, err = sqlx.Open(s.address(at)); err != nil {
		return nil, nil, err
	}
	db.SetMaxIdleConns(idleConns)
	return db, db.Close, nil
}

// transaction is one of the store's.
type transaction struct {
	log *sqllog.Log
	tx  *sqlx.Tx
}

func (s *stand) begin(_ context.Context, log cdc.Log) (conformance.Tx, error) {
	h := log.(*handle)
	tx, err := h.db.Beginx() // not bound to the call's context
	return &transaction{h.Log, tx}, err
}

func (t *transaction) Append(ctx context.Context, events ...cdc.Event) error {
	return t.log.AppendTx(ctx, t.tx, events...)
}
func (t *transaction) Commit(context.Context) error   { return t.tx.Commit() }
func (t *transaction) Rollback(context.Context) error { return t.tx.Rollback() }

// rewind leaves the tables as they were when seq was the head.
func (s *stand) rewind(ctx context.Context, _ conformance.Place, log cdc.Log, seq uint64) error {
	h := log.(*handle)
	table := h.at.Name
	var floor uint64
	if err := h.db.QueryRowContext(ctx, "SELECT floor FROM "+table+"_head").Scan(&floor); err != nil {
		return err
	}
	statements := []string{
		fmt.Sprintf("DELETE FROM %s WHERE seq > %d", table, seq),
		fmt.Sprintf("UPDATE %s_head SET head = CASE WHEN head > %[2]d THEN %[2]d ELSE head END, floor = %[3]d", table, seq, min(floor, seq)),
	}
	switch {
	case s.v.name == "sqlite":
		statements = append(statements, fmt.Sprintf("UPDATE sqlite_sequence SET seq = %d WHERE name = '%s'", seq, table))
	case s.v.opts.Mode == sqllog.Fence, s.v.opts.Mode == sqllog.AtCommit:
		statements = append(statements, fmt.Sprintf("SELECT setval('%s_seq_seq', %d, %t)", table, max(seq, 1), seq > 0))
	}
	tx, err := h.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return tx.Commit()
}

// breakReads takes the head table away.
func (s *stand) breakReads(ctx context.Context, _ conformance.Place, log cdc.Log) (func(), error) {
	h := log.(*handle)
	rename := func(ctx context.Context, from, to string) error {
		_, err := h.db.ExecContext(ctx, "ALTER TABLE "+h.at.Name+from+" RENAME TO "+h.at.Name+to)
		return err
	}
	err := rename(ctx, "_head", "_gone")
	return func() {
		if err := rename(context.Background(), "_gone", "_head"); err != nil {
			s.tb.Error(err)
		}
	}, err
}
