package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// busyWait is how long a write waits for another connection's if the context
// does not end before.
const busyWait = 30 * time.Second

// write runs fn in a transaction that has the writer's lock from its start: a
// transaction that reads first could not get it later.
func write(ctx context.Context, db engine.DB, fn func(conn *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only frees it
	if err := retryBusy(ctx, func() error { return exec(ctx, conn, "BEGIN IMMEDIATE") }); err != nil {
		abandon(conn) //nolint:contextcheck // a BEGIN that succeeded as ctx ended is said to have failed
		return err
	}
	if err := fn(conn); err != nil {
		abandon(conn) //nolint:contextcheck // rolls back though ctx has ended
		return err
	}
	// A COMMIT that has begun is seen through, so that its outcome is known.
	if err := retryBusy(ctx, func() error { return exec(context.WithoutCancel(ctx), conn, "COMMIT") }); err != nil {
		abandon(conn) //nolint:contextcheck // rolls back though ctx has ended
		return err
	}
	return nil
}

func exec(ctx context.Context, conn *sql.Conn, query string) error {
	_, err := conn.ExecContext(ctx, query)
	return err
}

// abandon ends the transaction, if there is one, and throws the connection away
// if that fails. An interrupt may come late, and meet the ROLLBACK.
func abandon(conn *sql.Conn) {
	const tries = 3
	for range tries {
		err := exec(context.Background(), conn, "ROLLBACK")
		if err == nil || strings.Contains(err.Error(), "no transaction is active") {
			return
		}
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // says: do not pool it
}

// retryBusy repeats fn while another connection holds a lock that fn needs.
func retryBusy(ctx context.Context, fn func() error) error {
	deadline := time.Now().Add(busyWait)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := fn()
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		if stopped := backoff.Sleep(ctx, pause); stopped != nil {
			return errors.Join(stopped, err)
		}
	}
}

// isBusy goes by the text, which is SQLite's own whatever the driver.
func isBusy(err error) bool {
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "SQLITE_BUSY") || strings.Contains(text, "database table is locked")
}
