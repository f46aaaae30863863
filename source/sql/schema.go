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

func ensureSchema(ctx context.Context, db *sqlx.DB, s settings) error {
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
		err = postgresLocked(ctx, db, s, func(tx *sqlx.Tx) error { return execAll(ctx, tx, schemaOf(s)) })
	}
	verr := verify(ctx, db, s)
	if _, ok := errors.AsType[*SchemaError](verr); ok && err != nil && !slices.Contains(schemaErrors(verr), missingTable) {
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

const missingTable = "it does not exist"

func schemaErrors(err error) []string {
	if e, ok := errors.AsType[*SchemaError](err); ok {
		return e.Problems
	}
	return nil
}

// column is one column of a table as the database describes it.
type column struct {
	kind    string // the type's name in lower case, without its size
	notNull bool
	hasDef  bool // it has a default, or the database fills it in
}

// problems collects the differences.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p problems) err(s settings) error {
	if len(p) == 0 {
		return nil
	}
	return &SchemaError{Table: s.Table, Problems: p}
}

// verify compares tables and columns, then what only the dialect has.
func verify(ctx context.Context, db *sqlx.DB, s settings) error {
	var p problems
	tables := []struct {
		name  string
		wants map[string][]string
	}{{s.names.table, wantedLog(s)}, {s.names.table + "_head", wantedHead(s)}}
	if s.Mode == Sequencer || s.Mode == AtCommit {
		inbox := wantedLog(s)
		delete(inbox, "seq")
		inbox["pos"] = []string{"bigint"}
		tables = append(tables, struct {
			name  string
			wants map[string][]string
		}{s.names.table + "_inbox", inbox})
	}
	for _, t := range tables {
		columns, err := columnsOf(ctx, db, s, t.name)
		if err != nil {
			return err
		}
		p.compare(s, t.name, columns, t.wants)
	}
	if len(p) > 0 {
		return p.err(s)
	}
	var err error
	switch s.Dialect {
	case SQLite:
		err = p.verifySQLite(ctx, db, s)
	case Postgres:
		err = p.verifyPostgres(ctx, db, s)
	}
	if err == nil {
		err = p.verifyHead(ctx, db, s)
	}
	if err != nil {
		return err
	}
	return p.err(s)
}

func (p *problems) compare(s settings, table string, columns map[string]column, wants map[string][]string) {
	if len(columns) == 0 {
		what := missingTable
		if table != s.names.table {
			what = fmt.Sprintf("its table %s does not exist: run EnsureSchema, or apply Schema(%s)", s.names.qualify(table), s.Dialect)
		} else if s.Columns != nil {
			what += ", though Options.Columns maps it"
		}
		*p = append(*p, what)
		return
	}
	for _, name := range slices.Sorted(mapKeys(wants)) {
		c, ok := columns[name]
		switch {
		case !ok:
			p.add("%s has no column %q", table, name)
		case len(wants[name]) > 0 && !slices.Contains(wants[name], c.kind):
			p.add("%s.%s is of type %s, it must be %s", table, name, c.kind, strings.Join(wants[name], " or "))
		}
	}
	if table != s.names.table {
		return
	}
	for _, name := range slices.Sorted(mapKeys(columns)) {
		if _, ok := wants[name]; !ok && columns[name].notNull && !columns[name].hasDef && s.Columns == nil {
			p.add("%s.%s is NOT NULL without a default, but the log does not fill it: map the table with Options.Columns", table, name)
		}
	}
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// wantedHead are the columns of the head table; no type means any.
func wantedHead(settings) map[string][]string {
	return map[string][]string{"one": nil, "version": nil, "epoch": nil, "floor": nil, "head": nil, "server": nil}
}

// wantedLog are the columns of the log's table with the types they may have.
func wantedLog(s settings) map[string][]string {
	bytes := []string{"bytea", "blob", "longblob", "text", "json", "jsonb", "varchar", "character varying"}
	times := []string{
		"timestamp with time zone", "timestamp without time zone", "timestamp", "datetime",
		"text", "integer", "bigint", "real", "numeric", "varchar", "double precision",
	}
	seq := []string{"bigint", "integer"}
	if s.Dialect == Postgres {
		seq = []string{"bigint"} // an integer wraps or fails after 2^31 events
	}
	if s.Columns == nil {
		bytes, times = bytes[:3], []string{"timestamp with time zone", "bigint", "integer"}
	}
	c, wants := s.columns, map[string][]string{}
	for name, types := range map[string][]string{c.Seq: seq, c.ID: nil, c.Topic: nil, c.Type: nil, c.Key: nil, c.Time: times, c.Data: bytes, c.Meta: nil} {
		if name != "" {
			wants[name] = types
		}
	}
	return wants
}

// verifyHead looks at the one row of the head table.
func (p *problems) verifyHead(ctx context.Context, db *sqlx.DB, s settings) error {
	var rows, version int
	err := db.QueryRowContext(ctx, "SELECT count(*), coalesce(max(version), 0) FROM "+s.names.head).Scan(&rows, &version)
	if err == nil && rows == 0 {
		p.add("its head table %s is empty: run EnsureSchema", s.names.head)
	} else if err == nil && version != 1 {
		p.add("its head table %s has version %d, this program knows version 1: use a newer one", s.names.head, version)
	}
	return err
}

// columnsOf describes a table; none if it does not exist.
func columnsOf(ctx context.Context, db *sqlx.DB, s settings, table string) (map[string]column, error) {
	var query string
	var args []any
	switch s.Dialect {
	case SQLite:
		schema := s.names.schema
		if schema == "" {
			schema = "main"
		}
		query, args = "SELECT name, lower(type), \"notnull\" <> 0, dflt_value IS NOT NULL FROM pragma_table_info(?, ?)", []any{table, schema}
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
