package sqllog

import (
	"context"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Table says which changes of a table become events, whoever makes them.
//
// An event's Type is Table.Type with ".insert", ".update" or ".delete" after
// it, on PostgreSQL also ".truncate"; its Key is the row's key as text, or a
// JSON array of several; its Data is
//
//	{"old": {"column": value, …} or null, "new": {…} or null}
//
// with bytes, also those in a key, in hexadecimal. A value that cannot be
// carried is left out of both, and Data says why:
//
//	{"old": …, "new": …, "omitted": {"column": "too large"}}
//
// An update that changes the key or the topic is a delete and an insert.
type Table struct {
	// Name of the table, perhaps with a schema before a dot.
	Name string
	// Topic of its events; empty: the table's name, without the schema.
	Topic string
	// TopicColumns are columns whose values come after Topic, each behind a
	// slash: "orders" and the column customer make orders/7. In a value "%" is
	// written as %25 and "/" as %2F, and NULL is empty. Nil: Topic alone.
	TopicColumns []string
	// Type that its events' types begin with; empty: the table's name, without
	// the schema.
	Type string
	// Key are the columns that identify a row, by a unique index and without
	// NULL; nil: the primary key.
	Key []string
	// Columns are those in the events; nil: all that the table has when
	// Capture is called.
	Columns []string
	// Watch are the columns whose change by an UPDATE makes an event; nil:
	// Columns.
	Watch []string
	// NumbersAsText writes numbers that JavaScript does not read exactly, those
	// of 64 bits and decimals, as JSON strings.
	NumbersAsText bool
	// Meta is the Meta of each event: key and where its value comes from. A
	// value that is NULL or not set is left out. Nil: none.
	Meta map[string]MetaSource
}

// MetaSource is where a value comes from that a captured change carries beside
// its row: who made it, for instance. Exactly one of Setting, TransactionID,
// Variable and Table is set; what a dialect cannot give is refused by Capture.
type MetaSource struct {
	// Setting is the name of a setting of the session or the transaction, such
	// as app.user_id. PostgreSQL only.
	Setting string
	// TransactionID is a number that all changes of a transaction share.
	// PostgreSQL only.
	TransactionID bool
	// Variable is the name of a user variable, without the @. MySQL and MariaDB
	// only.
	Variable string
	// Table has one row, which the writer sets in the same transaction, and
	// Column the value. SQLite only.
	Table, Column string
}

// Capture installs triggers that emit an event for each row that is inserted,
// updated so that it differs, or deleted, in the same transaction. It tries them
// before it returns, and leaves no trace of that. Calling it again replaces
// triggers that are no longer what they should be, because the table got a
// column for instance, and leaves others alone; of a table that this log
// captures under another topic or type, RemoveCapture comes first. Several logs
// may capture one table. What no trigger sees is listed in docs/sql.md.
func (l *Log) Capture(ctx context.Context, t Table) error {
	_, err := call(ctx, l, func(ctx context.Context) (none, error) {
		return none{}, engine.NewCapture(l.settings, t.internal()).Ensure(ctx, l.store.db)
	})
	if err != nil {
		return fmt.Errorf("sql: capture %s: %w", t.Name, explain(l.settings, err))
	}
	return nil
}

// CaptureStatements returns the statements with which Capture would install the
// triggers now, whether they are there or not, for migration tools. They can be
// run again: in their order, on one connection, on PostgreSQL in one transaction.
// On MySQL nothing has tried them, as Capture does first.
func (l *Log) CaptureStatements(ctx context.Context, t Table) ([]string, error) {
	statements, err := call(ctx, l, func(ctx context.Context) ([]string, error) {
		return engine.NewCapture(l.settings, t.internal()).Statements(ctx, l.store.db)
	})
	if err != nil {
		return nil, fmt.Errorf("sql: capture %s: %w", t.Name, explain(l.settings, err))
	}
	return statements, nil
}

// Captured returns the tables that this log captures, by name, with the topic and
// the type that their events have; the other fields are not set. A table that was
// renamed is not found: Capture it under its new name.
func (l *Log) Captured(ctx context.Context) ([]Table, error) {
	tables, err := call(ctx, l, func(ctx context.Context) ([]engine.Table, error) {
		return engine.Captured(ctx, l.store.db, l.settings)
	})
	if err != nil {
		return nil, fmt.Errorf("sql: captured tables: %w", explain(l.settings, err))
	}
	captured := make([]Table, len(tables))
	for i, t := range tables {
		captured[i] = Table{Name: t.Name, Topic: t.Topic, TopicColumns: t.TopicColumns, Type: t.Type}
	}
	return captured, nil
}

// VerifyCapture returns a [*SchemaError] if the triggers that Capture would
// install are missing, disabled or different.
func (l *Log) VerifyCapture(ctx context.Context, t Table) error {
	problems, err := call(ctx, l, func(ctx context.Context) (engine.Problems, error) {
		return engine.NewCapture(l.settings, t.internal()).Verify(ctx, l.store.db)
	})
	if err = schemaError(t.Name, problems, err); err != nil {
		return fmt.Errorf("sql: verify capture: %w", explain(l.settings, err))
	}
	return nil
}

// RemoveCapture removes the triggers of Capture, if there are any, and leaves
// those of other logs.
func (l *Log) RemoveCapture(ctx context.Context, t Table) error {
	_, err := call(ctx, l, func(ctx context.Context) (none, error) {
		return none{}, engine.NewCapture(l.settings, t.internal()).Remove(ctx, l.store.db)
	})
	if err != nil {
		return fmt.Errorf("sql: remove capture of %s: %w", t.Name, explain(l.settings, err))
	}
	return nil
}
