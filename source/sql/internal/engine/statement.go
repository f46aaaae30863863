package engine

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
)

// rows runs one of the store's own statements, of which all parameters are
// numbers. Drivers of servers send a statement without parameters in one round
// trip and one with parameters in two or three; a statement that stays prepared
// would need one as well, but PostgreSQL may keep a plan for it that was made
// when the table was small.
func (t *Base) rows(ctx context.Context, query string, args ...int64) (*sql.Rows, error) {
	if t.Kept == nil {
		return t.DB.QueryContext(ctx, Inline(t.recall(query), args...))
	}
	stmt, err := t.Kept.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	values := make([]any, len(args))
	for i, n := range args {
		values[i] = n
	}
	return stmt.QueryContext(ctx, values...)
}

// The places of numbers in a statement for Inline: no quoted name has a NUL.
const (
	Number1 = "\x001"
	Number2 = "\x002"
	Number3 = "\x003"
)

// Memory is what a pass of a sequencer tells later statements of this process,
// so that they need not read what it has read. It may be called concurrently.
type Memory interface {
	// Recall writes into the statement what has been learnt.
	Recall(query string) string
	// Learn takes what a pass has returned, after its commit.
	Learn(text string)
}

func (t *Base) recall(query string) string {
	if t.Memory == nil {
		return query
	}
	return t.Memory.Recall(query)
}

// Inline writes the numbers in their places.
func Inline(query string, numbers ...int64) string {
	pairs := make([]string, 0, 2*len(numbers))
	for i, n := range numbers {
		pairs = append(pairs, [...]string{Number1, Number2, Number3}[i], strconv.FormatInt(n, 10))
	}
	return strings.NewReplacer(pairs...).Replace(query)
}

// Statements are kept for as long as the log is open. It is for SQLite,
// where compiling one takes longer than running it, and where a statement is
// compiled again by itself when the schema has changed.
type Statements struct {
	db DB

	mu         sync.Mutex
	statements map[string]*sql.Stmt
	closed     bool
}

func (k *Statements) statement(ctx context.Context, query string) (*sql.Stmt, error) {
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
func (k *Statements) keep(query string, stmt *sql.Stmt) *sql.Stmt {
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

// NewStatements keeps none yet.
func NewStatements(db DB) *Statements { return &Statements{db: db, statements: map[string]*sql.Stmt{}} }

// Close frees the statements; those that are being used are freed afterwards.
func (k *Statements) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, stmt := range k.statements {
		_ = stmt.Close() // only frees it
	}
	clear(k.statements)
}
