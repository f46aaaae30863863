package sqllog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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
		return fmt.Sprintf("a right is missing: grant SELECT, INSERT, UPDATE and DELETE on %s, %s and %s (and CREATE, unless the schema is applied as a migration)", n.log, n.inbox, n.head)
	}},
	{[]string{"25006", "Error 1290 ", "Error 1836 "}, func(settings) string {
		return "the server is read-only: open the log on the primary"
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

// retryCut repeats what can be repeated, a read for instance, while the
// connection that it was given turns out to be cut. A server that cannot be
// reached is an error at once.
func retryCut[T any](ctx context.Context, fn func(ctx context.Context) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		v, err := fn(ctx)
		if err == nil || attempt == cutRetries || ctx.Err() != nil || !isCut(err) {
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
	return sqlState(err) == "57P01" || err.Error() == "invalid connection" // terminated by an administrator; go-sql-driver's word for it
}
