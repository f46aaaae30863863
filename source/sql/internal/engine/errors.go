package engine

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// SQLState is the code of the error, empty if its driver gives none.
func SQLState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	if e, ok := errors.AsType[interface {
		error
		Field(code byte) string // bun's pgdriver gives the fields of PostgreSQL's message
	}](err); ok {
		return e.Field('C')
	}
	return ""
}

// IsAnswer reports whether the error is the server's own answer, by a connection
// that lives on.
func IsAnswer(err error) bool {
	code := SQLState(err)
	return code != "" && !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57")
}

// IsPoolClosed reports whether the application has closed its pool, for which
// database/sql has a text, but no value.
func IsPoolClosed(err error) bool {
	return SQLState(err) == "" && strings.HasSuffix(err.Error(), "sql: database is closed")
}

// cutRetries is how many connections in a row may turn out to be dead: after a
// cut, all those that were idle in the pool are.
const cutRetries = 8

// RetryCut repeats fn, a read or an append, while the connection that it was
// given turns out to be cut, or the database gave it up for the sake of another
// transaction, and nothing can have come of it. A server that cannot be reached
// is an error at once.
func RetryCut[T any](ctx context.Context, fn func(ctx context.Context) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		v, err := fn(ctx)
		if err == nil || errors.Is(err, cdc.ErrUnknownOutcome) {
			return v, err
		}
		if ctx.Err() != nil {
			return v, because(ctx, err)
		}
		if attempt == cutRetries || !isCut(err) && !gaveWay(err) {
			return v, err
		}
	}
}

// gaveWay reports whether the database has rolled the transaction back for the
// sake of another: it could not be serialized, or they waited for each other.
func gaveWay(err error) bool {
	switch SQLState(err) {
	case "40001", "40P01":
		return true
	}
	return strings.Contains(err.Error(), "Error 1213 (40001)") // go-sql-driver's text: its errors have no method for the code
}

// because adds the end of ctx to an error that came of it: a driver may only say
// that its connection is gone.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// isCut reports whether the error is that of an established connection.
func isCut(err error) bool {
	for _, lost := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "read" || op.Op == "write"
	}
	switch SQLState(err) {
	case "57P01", "57P05": // terminated by an administrator, or because it was idle
		return true
	}
	text := err.Error()
	return text == "invalid connection" || text == "conn closed" // the words of go-sql-driver and pgx for it
}

// grace is how long a driver may take to return when its context has ended.
const grace = 250 * time.Millisecond

// ErrHangs says that a driver did not return though its context had ended, as
// lib/pq does on a connection that is half-open. What it does is not known.
var ErrHangs = errors.New("the database driver hangs")

// Await returns what f returns. A driver may not heed its context: when ctx has
// ended, or closed is closed, and f still does not return, it is left to itself.
// A dialect without a network does not hang so, and a goroutine would cost as
// much as its calls. d may be nil, if it is not known yet.
func Await[T any](ctx context.Context, d *Dialect, closed <-chan struct{}, f func(ctx context.Context) (T, error)) (T, error) {
	if d != nil && d.Local {
		return f(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f(ctx)
		done <- result{value, err}
	}()
	var why error
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-closed:
		why = cdc.ErrClosed
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
		var zero T
		return zero, fmt.Errorf("%w: %w", ErrHangs, why)
	}
}

// HintReadOnly is for a server that takes no writes.
const HintReadOnly = "the server is read-only: open the log on the primary"

// HintMissingTable is for a table that does not exist.
func (s Settings) HintMissingTable() string {
	return "a table is missing: run EnsureSchema, or apply Schema(" + s.Dialect.Name + ") as a migration"
}

// HintMissingRight is for a right that the user does not have; more are rights
// that only the dialect needs.
func (s Settings) HintMissingRight(more string) string {
	tables := s.Names.Log + " and " + s.Names.Head
	if s.HasInbox() {
		tables = s.Names.Log + ", " + s.Names.Inbox + " and " + s.Names.Head
	}
	return fmt.Sprintf("a right is missing: grant SELECT, INSERT, UPDATE and DELETE on %s%s (and CREATE, and TRIGGER for Capture, unless a migration makes them)", tables, more)
}
