package sqllog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

var (
	errNoHead  = errors.New("the head table has no row: it is not the table of a log, or somebody emptied it; run EnsureSchema")
	errReplica = errors.New("the server is a replica: a log can only be read on the primary")
)

// SchemaError names what differs between the database and what the log needs.
type SchemaError struct {
	Table    string   // of the log
	Problems []string // each says what is wrong, and what to do if that is not obvious
}

// Error lists the problems.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("table %s cannot serve as a log: %s", e.Table, strings.Join(e.Problems, "; "))
}

// hints say what to do about errors that SQL databases report by code.
var hints = []struct {
	marks []string // SQLSTATEs of PostgreSQL, or texts of the other databases
	hint  func(s settings) string
}{
	{[]string{"42P01", "Error 1146 ", "no such table"}, func(s settings) string {
		return "a table is missing: run EnsureSchema, or apply Schema(" + string(s.Dialect) + ") as a migration"
	}},
	{[]string{"42501", "Error 1142 ", "Error 1044 ", "Error 1143 "}, func(s settings) string {
		n := s.names
		tables, sequences := n.log+" and "+n.head, ""
		if s.Mode == Sequencer || s.Mode == AtCommit {
			tables = n.log + ", " + n.inbox + " and " + n.head
		}
		if s.Dialect == Postgres {
			sequences = ", USAGE and SELECT on their sequences"
		}
		return fmt.Sprintf("a right is missing: grant SELECT, INSERT, UPDATE and DELETE on %s%s (and CREATE, and TRIGGER for Capture, unless a migration makes them)", tables, sequences)
	}},
	{[]string{"25006", "Error 1290 ", "Error 1836 "}, func(settings) string {
		return "the server is read-only: open the log on the primary"
	}},
	{[]string{"database is locked", "database table is locked"}, func(settings) string {
		return "another connection is writing: let connections wait, by _pragma=busy_timeout(10000), and transactions that write begin with the lock, by _txlock=immediate"
	}},
	{[]string{"unable to open database file"}, func(settings) string {
		return "the file cannot be opened: its folder must exist, and this user must be allowed to write there"
	}},
	{[]string{"readonly database"}, func(settings) string {
		return "the file is read-only: a log needs to write its head table"
	}},
}

// explain adds what to do to an error of the database.
func explain(s settings, err error) error {
	if err == nil {
		return nil
	}
	code, text := sqlState(err), err.Error()
	for _, h := range hints {
		for _, mark := range h.marks {
			if code == mark || (code == "" && strings.Contains(text, mark)) {
				return fmt.Errorf("%s: %w", h.hint(s), err)
			}
		}
	}
	return err
}

// cutRetries is how many connections in a row may turn out to be dead: after a
// cut, all those that were idle in the pool are.
const cutRetries = 8

// retryCut repeats fn, a read or an append, while the connection that it was
// given turns out to be cut, or the database gave it up for the sake of another
// transaction, and nothing can have come of it. A server that cannot be reached
// is an error at once.
func retryCut[T any](ctx context.Context, fn func(ctx context.Context) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		v, err := fn(ctx)
		if err == nil || attempt == cutRetries || ctx.Err() != nil || errors.Is(err, cdc.ErrUnknownOutcome) || (!isCut(err) && sqlState(err) != "40001") {
			return v, err
		}
	}
}

// isCut reports whether the error is that of an established connection.
func isCut(err error) bool {
	for _, cut := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, cut) {
			return true
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "read" || op.Op == "write"
	}
	switch sqlState(err) {
	case "57P01", "57P05": // terminated by an administrator, or because it was idle
		return true
	}
	text := err.Error()
	return text == "invalid connection" || text == "conn closed" // the words of go-sql-driver and pgx for it
}
