package sqllog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// Table says which changes of a table become events, whoever makes them.
//
// An event's Type is Table.Type with ".insert", ".update" or ".delete" after
// it, on PostgreSQL also ".truncate"; its Key is the row's key as text, or a
// JSON array of several; its Data is
//
//	{"old": {"column": value, …} or null, "new": {…} or null}
//
// with bytes, also those in a key, in hexadecimal. An update that changes the key is a delete and an
// insert.
type Table struct {
	// Name of the table, perhaps with a schema before a dot.
	Name string
	// Topic of its events; empty: the table's name, without the schema.
	Topic string
	// Type that its events' types begin with; empty: the table's name, without
	// the schema.
	Type string
	// Key are the columns that identify a row, on PostgreSQL by a unique index
	// and without NULL; nil: the primary key.
	Key []string
	// Columns are those in the events; nil: all that the table has when
	// Capture is called.
	Columns []string
	// Watch are the columns whose change by an UPDATE makes an event; nil:
	// Columns.
	Watch []string
}

// Capture installs triggers that emit an event for each row that is inserted,
// updated so that it differs, or deleted, in the same transaction. Calling it
// again replaces triggers that are no longer what they should be, because the
// table got a column for instance, and leaves others alone. What no trigger
// sees is listed in docs/sql.md.
func (l *Log) Capture(ctx context.Context, t Table) error {
	c, err := l.capturing(ctx, t)
	if err == nil {
		var problems []string
		if problems, err = c.differences(ctx, l.db); err == nil && len(problems) > 0 {
			err = c.install(ctx, l.db)
		}
	}
	if err != nil {
		return fmt.Errorf("sql: capture %s: %w", t.Name, explain(l.settings, err))
	}
	return nil
}

// VerifyCapture returns a [*SchemaError] if the triggers that Capture would
// install are missing, disabled or others.
func (l *Log) VerifyCapture(ctx context.Context, t Table) error {
	c, err := l.capturing(ctx, t)
	if err == nil {
		var problems []string
		if problems, err = c.differences(ctx, l.db); err == nil && len(problems) > 0 {
			err = &SchemaError{Table: t.Name, Problems: problems}
		}
	}
	if err != nil {
		return fmt.Errorf("sql: verify capture: %w", explain(l.settings, err))
	}
	return nil
}

// RemoveCapture removes the triggers of Capture, if there are any.
func (l *Log) RemoveCapture(ctx context.Context, t Table) error {
	c := &capture{settings: l.settings, table: t, on: newNames(l.settings.Dialect, t.Name)}
	if err := c.run(ctx, l.db, c.removal()); err != nil {
		return fmt.Errorf("sql: remove capture of %s: %w", t.Name, explain(l.settings, err))
	}
	return nil
}

// capture is a table whose triggers are generated.
type capture struct {
	settings settings
	table    Table
	on       names             // of the table
	kinds    map[string]column // its columns
	target   map[string]column // columns of the table that events are inserted into
}

// capturing looks the table up and fills in what the user left out.
func (l *Log) capturing(ctx context.Context, t Table) (*capture, error) {
	s := l.settings
	c := &capture{settings: s, table: t, on: newNames(s.Dialect, t.Name)}
	on := s
	on.names = c.on
	var err error
	if c.kinds, err = columnsOf(ctx, l.db, on, c.on.table); err != nil {
		return nil, err
	}
	if len(c.kinds) == 0 {
		return nil, errors.New("the table does not exist, or this user may not see it")
	}
	if slices.Contains([]string{s.names.log, s.names.inbox, s.names.head}, c.on.log) {
		return nil, errors.New("the table is the log's own: its changes would be changes again")
	}
	if c.target, err = columnsOf(ctx, l.db, s, s.names.table); err != nil {
		return nil, err
	}
	if c.table.Key == nil {
		if c.table.Key, err = primaryKey(ctx, l.db, on); err != nil {
			return nil, err
		}
	}
	if err := c.settle(); err != nil || s.Dialect != Postgres {
		return c, err
	}
	return c, c.checkKey(ctx, l.db)
}

func (c *capture) settle() error {
	t := &c.table
	if len(t.Key) == 0 {
		return errors.New("the table has no primary key: name the columns that identify a row in Table.Key")
	}
	if t.Columns == nil {
		t.Columns = slices.Sorted(mapKeys(c.kinds))
	}
	if t.Watch == nil {
		t.Watch = t.Columns
	}
	for _, name := range slices.Concat(t.Key, t.Columns, t.Watch) {
		if _, ok := c.kinds[name]; !ok {
			return fmt.Errorf("the table has no column %q", name)
		}
	}
	if c.settings.Dialect == SQLite && len(t.Columns) > 60 {
		return fmt.Errorf("%d columns are more than SQLite's json_object takes: name at most 60 in Table.Columns", len(t.Columns))
	}
	for _, f := range []*string{&t.Topic, &t.Type} {
		if *f == "" {
			*f = c.on.table
		}
	}
	if strings.HasPrefix(t.Type, cdc.ReservedTypePrefix) {
		return fmt.Errorf("the Type %q begins with the reserved %q", t.Type, cdc.ReservedTypePrefix)
	}
	return nil
}

// primaryKey are the columns of the table's primary key in its order.
func primaryKey(ctx context.Context, db *sqlx.DB, s settings) (key []string, err error) {
	n := s.names
	switch s.Dialect {
	case SQLite:
		err = db.SelectContext(ctx, &key, "SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk", n.table, sqliteSchemaName(n))
	case MySQL:
		err = db.SelectContext(ctx, &key, "SELECT column_name FROM information_schema.key_column_usage WHERE constraint_name = 'PRIMARY'"+
			" AND table_name = ? AND table_schema = coalesce(nullif(?, ''), database()) ORDER BY ordinal_position", n.table, n.schema)
	default:
		err = db.SelectContext(ctx, &key, "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"+
			" WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)", n.log)
	}
	return key, err
}

// trigger is one trigger with the statement that makes it.
type trigger struct {
	name   string // unquoted
	create string
	text   string // as the database shows it
}

// name of a trigger or function; every dialect takes 63 bytes. Of a long name
// the rest is a hash, because long names often begin alike.
func (c *capture) name(suffix string) string {
	name := c.on.table + "_capture_" + suffix
	if len(name) <= maxNameBytes {
		return name
	}
	rest := "_" + cdc.Event{Key: c.on.table}.Tag() + "_" + suffix
	return strings.ToValidUTF8(name[:maxNameBytes-len(rest)], "") + rest
}

// value is the column as it stands in a key or in JSON.
func (c *capture) value(alias, name string) string {
	column, kind := alias+"."+c.on.quote(name), c.kinds[name].kind
	switch {
	case c.settings.Dialect == SQLite:
		return sqliteValue(column)
	case c.settings.Dialect == MySQL:
		return mysqlValue(kind, column)
	case kind == "bytea":
		return "encode(" + column + ", 'hex')"
	}
	return column
}

// keyText is the key as text; % stands for the columns in the forms for
// several and for one.
func (c *capture) keyText(alias, several, one string) string {
	columns := make([]string, len(c.table.Key))
	for i, k := range c.table.Key {
		columns[i] = c.value(alias, k)
	}
	form := several
	if len(columns) == 1 {
		form = one
	}
	return strings.Replace(form, "%", strings.Join(columns, ", "), 1)
}

func (c *capture) triggers() []trigger {
	switch c.settings.Dialect {
	case SQLite:
		return c.sqliteTriggers()
	case MySQL:
		return c.mysqlTriggers()
	}
	return c.postgresTriggers()
}

// differences says in words how the triggers in the database differ.
func (c *capture) differences(ctx context.Context, db *sqlx.DB) ([]string, error) {
	switch c.settings.Dialect {
	case SQLite:
		return c.compareText(ctx, db, "SELECT coalesce((SELECT sql FROM "+c.on.qualify("sqlite_master")+" WHERE type = 'trigger' AND name = ?), '')")
	case MySQL: // a trigger stays with a table that is renamed
		return c.compareText(ctx, db, "SELECT coalesce((SELECT concat(action_timing, ' ', event_manipulation, ' ', action_statement) FROM information_schema.triggers"+
			" WHERE trigger_name = ? AND trigger_schema = "+c.mysqlSchemaName()+" AND event_object_schema = trigger_schema AND event_object_table = "+literal(MySQL, c.on.table)+"), '')")
	}
	return c.comparePostgres(ctx, db)
}

func (c *capture) compareText(ctx context.Context, db *sqlx.DB, query string) ([]string, error) {
	var problems []string
	for _, t := range c.triggers() {
		var got string
		if err := db.QueryRowContext(ctx, query, t.name).Scan(&got); err != nil {
			return nil, err
		}
		if problem := differs(t.name, got, t.text); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems, nil
}

func differs(name, got, want string) string {
	switch got {
	case want:
		return ""
	case "":
		return "the trigger " + name + " is missing: call Capture"
	}
	return "the trigger " + name + " is not what Capture would make now: call it again"
}

// install replaces all triggers. PostgreSQL's function is replaced in its place:
// triggers of a table that had this name before may still use it.
func (c *capture) install(ctx context.Context, db *sqlx.DB) error {
	statements := c.dropTriggers()
	for _, t := range c.triggers() {
		statements = append(statements, t.create)
	}
	return c.run(ctx, db, statements)
}

// run executes the statements in a transaction, where the dialect has that for
// triggers.
func (c *capture) run(ctx context.Context, db *sqlx.DB, statements []string) error {
	switch c.settings.Dialect {
	case SQLite:
		return newSQLite(db, c.settings).write(ctx, func(conn *sqlx.Conn) error { return execAll(ctx, conn, statements) })
	case MySQL:
		return mysqlLocked(ctx, db, c.settings, func(conn *sqlx.Conn) error { return execAll(ctx, conn, statements) })
	}
	return postgresLocked(ctx, db, c.settings, func(tx *sqlx.Tx) error { return execAll(ctx, tx, statements) })
}

// removal are the statements that remove what Capture may have made.
func (c *capture) removal() []string {
	statements := c.dropTriggers()
	if c.settings.Dialect == Postgres {
		statements = append(statements, "DROP FUNCTION IF EXISTS "+c.on.qualify(c.name("row"))+"()")
	}
	return statements
}

func (c *capture) dropTriggers() []string {
	var statements []string
	suffixes := []string{"insert", "update", "delete", "rekey"}
	if c.settings.Dialect == Postgres {
		suffixes = []string{"insert", "update", "delete", "truncate"}
	}
	for _, suffix := range suffixes {
		statement := "DROP TRIGGER IF EXISTS " + c.on.qualify(c.name(suffix))
		if c.settings.Dialect == Postgres {
			statement = "DROP TRIGGER IF EXISTS " + c.on.quote(c.name(suffix)) + " ON " + c.on.log
		}
		statements = append(statements, statement)
	}
	return statements
}
