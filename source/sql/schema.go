package sqllog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// EnsureSchema creates the tables, indexes and triggers of the log that are
// missing. It changes nothing that exists, may be called by several processes
// at once, and ends with [Verify]. Open calls it unless Options.NoSchema is
// set.
func EnsureSchema(ctx context.Context, db *sqlx.DB, o *Options) error {
	s, err := o.settle(db.DriverName())
	if err == nil {
		err = explain(s, ensureSchema(ctx, db, s))
	}
	if err != nil {
		return fmt.Errorf("sql: ensure schema: %w", err)
	}
	return nil
}

// Schema returns the statements of EnsureSchema, for migration tools. They can
// be run again.
func Schema(d Dialect, o *Options) (string, error) {
	opts := Options{}
	if o != nil {
		opts = *o
	}
	opts.Dialect = d
	s, err := opts.settle("")
	if err != nil {
		return "", fmt.Errorf("sql: schema: %w", err)
	}
	return strings.Join(schemaOf(s), ";\n\n") + ";\n", nil
}

// Verify compares the database with what the log needs and changes nothing. A
// difference is a [*SchemaError].
func Verify(ctx context.Context, db *sqlx.DB, o *Options) error {
	s, err := o.settle(db.DriverName())
	if err == nil {
		err = explain(s, verify(ctx, db, s))
	}
	if err != nil {
		return fmt.Errorf("sql: verify: %w", err)
	}
	return nil
}

func schemaOf(s settings) []string {
	switch s.Dialect {
	case SQLite:
		return sqliteSchema(s)
	case MySQL:
		return mysqlSchema(s)
	}
	return postgresSchema(s)
}

// firstBounds are floor and head of a new head row. A sequencer numbers from
// the head, so it must not lie below events that outlived the row before.
func firstBounds(s settings) string {
	if s.Mode != Sequencer {
		return "0, 0"
	}
	return "(SELECT coalesce(min(seq) - 1, 0) FROM " + s.names.log + "), (SELECT coalesce(max(seq), 0) FROM " + s.names.log + ")"
}

func ensureSchema(ctx context.Context, db *sqlx.DB, s settings) error {
	if p, err := refused(ctx, db, s); err != nil || len(p) > 0 {
		return errors.Join(err, p.err(s))
	}
	err := verify(ctx, db, s)
	if _, ok := errors.AsType[*SchemaError](err); !ok {
		return err
	}
	switch s.Dialect {
	case SQLite:
		err = newSQLite(db, s).write(ctx, func(conn *sqlx.Conn) error { return execAll(ctx, conn, schemaOf(s)) })
	case MySQL:
		err = mysqlLocked(ctx, db, s, func(conn *sqlx.Conn) error { return execAll(ctx, conn, schemaOf(s)) })
	default:
		err = postgresLocked(ctx, db, s, func(tx *sqlx.Tx) error {
			var p problems // another process may have begun in another mode meanwhile
			if err := p.refuseMode(ctx, tx, s); err != nil || len(p) > 0 {
				return errors.Join(err, p.err(s))
			}
			return execAll(ctx, tx, schemaOf(s))
		})
	}
	verr := verify(ctx, db, s)
	if e, ok := errors.AsType[*SchemaError](verr); ok && err != nil && !slices.Contains(e.Problems, missingTable) {
		return verr // what is wrong with the tables says more than the statement that failed
	}
	return errors.Join(err, verr)
}

// execAll runs the statements one by one.
func execAll(ctx context.Context, tx Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.60s…: %w", statement, err)
		}
	}
	return nil
}

// column is one column of a table as the database describes it.
type column struct {
	kind    string // the type's name in lower case, without its size
	notNull bool
	hasDef  bool // it has a default, or the database fills it in
}

// columnsOf describes a table; none if it does not exist.
func columnsOf(ctx context.Context, db *sqlx.DB, s settings, table string) (map[string]column, error) {
	var query string
	var args []any
	switch s.Dialect {
	case SQLite:
		query, args = "SELECT name, lower(type), \"notnull\" <> 0, dflt_value IS NOT NULL FROM pragma_table_xinfo(?, ?) WHERE hidden <> 1", []any{table, sqliteSchemaName(s.names)}
	case MySQL:
		query = "SELECT column_name, data_type, is_nullable = 'NO', column_default IS NOT NULL OR extra <> '' FROM information_schema.columns" +
			" WHERE table_name = ? AND table_schema = coalesce(nullif(?, ''), database())"
		args = []any{table, s.names.schema}
	default:
		query = "SELECT attname, lower(format_type(atttypid, NULL)), attnotnull, atthasdef OR attidentity <> '' FROM pg_attribute" +
			" WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
		args = []any{s.names.qualify(table)}
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	columns := map[string]column{}
	for rows.Next() {
		var name string
		var c column
		if err := rows.Scan(&name, &c.kind, &c.notNull, &c.hasDef); err != nil {
			return nil, err
		}
		c.kind, _, _ = strings.Cut(c.kind, "(")
		columns[name] = c
	}
	return columns, rows.Err()
}
