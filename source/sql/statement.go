package sqllog

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// rows runs one of the store's own statements, of which all parameters are
// numbers. Drivers of servers send a statement without parameters in one round
// trip and one with parameters in two or three; a statement that stays prepared
// would need one as well, but PostgreSQL may keep a plan for it that was made
// when the table was small.
func (t *store) rows(ctx context.Context, query string, args ...int64) (*sql.Rows, error) {
	if t.kept == nil {
		return t.db.QueryContext(ctx, inline(query, args...))
	}
	stmt, err := t.kept.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	values := make([]any, len(args))
	for i, n := range args {
		values[i] = n
	}
	return stmt.QueryContext(ctx, values...)
}

// The places of numbers in a statement for inline: no quoted name has a NUL.
const (
	number1 = "\x001"
	number2 = "\x002"
	number3 = "\x003"
)

// inline writes the numbers in their places.
func inline(query string, numbers ...int64) string {
	pairs := make([]string, 0, 2*len(numbers))
	for i, n := range numbers {
		pairs = append(pairs, [...]string{number1, number2, number3}[i], strconv.FormatInt(n, 10))
	}
	return strings.NewReplacer(pairs...).Replace(query)
}

// keptStatements keeps statements for as long as the log is open. It is for SQLite,
// where compiling one takes longer than running it, and where a statement is
// compiled again by itself when the schema has changed.
type keptStatements struct {
	db *sqlx.DB

	mu         sync.Mutex
	statements map[string]*sql.Stmt
	closed     bool
}

func (k *keptStatements) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	k.mu.Lock()
	stmt := k.statements[query]
	k.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := k.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return k.keep(query, stmt), nil
}

// keep returns the statement that somebody else has kept meanwhile, if any.
func (k *keptStatements) keep(query string, stmt *sql.Stmt) *sql.Stmt {
	k.mu.Lock()
	defer k.mu.Unlock()
	first := k.statements[query]
	switch {
	case first != nil:
		_ = stmt.Close() // only frees it
		return first
	case k.closed:
		_ = stmt.Close() // using it is an error, as everything is after Close
	default:
		k.statements[query] = stmt
	}
	return stmt
}

// close frees the statements; those that are being used are freed afterwards.
func (k *keptStatements) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, stmt := range k.statements {
		_ = stmt.Close() // only frees it
	}
	clear(k.statements)
}
