package sqllog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// problems collects the differences.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p problems) err(s settings) error {
	if len(p) == 0 {
		return nil
	}
	return &SchemaError{Table: s.Table, Problems: p}
}

const missingTable = "it does not exist"

// tableCheck is a table of the log as it is and as it must be.
type tableCheck struct {
	name  string
	own   bool                // made by us
	wants map[string][]string // the types that each column may have; none: any
	has   map[string]column   // none: the table does not exist
}

// checked are the tables that the mode needs, the log's first.
func checked(s settings) []tableCheck {
	tables := []tableCheck{
		{name: s.names.table, own: s.Columns == nil, wants: wantedLog(s)},
		{name: s.names.table + "_head", own: true, wants: wantedHead(s.Dialect)},
	}
	if s.Mode == Sequencer || s.Mode == AtCommit {
		inbox := wantedLog(s)
		delete(inbox, "seq")
		inbox["pos"] = []string{"bigint"}
		tables = append(tables, tableCheck{name: s.names.table + "_inbox", own: true, wants: inbox})
	}
	return tables
}

// refused is what EnsureSchema must not try to mend: the settings of the
// connection, and a log that was made in another mode.
func refused(ctx context.Context, db *sqlx.DB, s settings) (p problems, err error) {
	switch s.Dialect {
	case MySQL:
		err = p.refuseMySQL(ctx, db)
	case Postgres:
		if most := db.Stats().MaxOpenConnections; s.Mode == Fence && most == 1 {
			p.add("mode %s keeps a connection of the pool for itself, and the pool has only one: db.SetMaxOpenConns(2) or more", Fence)
		}
		err = p.refuseMode(ctx, db, s)
	}
	return p, err
}

// verify waits for SQLite's lock, if others are writing.
func verify(ctx context.Context, db *sqlx.DB, s settings) error {
	return retryBusy(ctx, func() error { return verifyNow(ctx, db, s) })
}

// verifyNow compares tables and columns, then what only the dialect has.
func verifyNow(ctx context.Context, db *sqlx.DB, s settings) error {
	p, err := refused(ctx, db, s)
	if err != nil {
		return err
	}
	for _, t := range checked(s) {
		if t.has, err = columnsOf(ctx, db, s, t.name); err != nil {
			return err
		}
		p.compare(s, t)
	}
	if len(p) > 0 {
		return p.err(s)
	}
	switch s.Dialect {
	case SQLite:
		err = p.verifySQLite(ctx, db, s)
	case MySQL:
		err = p.verifyMySQL(ctx, db, s)
	default:
		err = p.verifyPostgres(ctx, db, s)
	}
	if err == nil {
		err = p.verifyHead(ctx, db, s)
	}
	if err == nil {
		err = p.verifyNumbers(ctx, db, s)
	}
	if err != nil {
		return err
	}
	return p.err(s)
}

func (p *problems) compare(s settings, t tableCheck) {
	if len(t.has) == 0 {
		p.missing(s, t)
		return
	}
	for _, name := range slices.Sorted(mapKeys(t.wants)) {
		c, ok := t.has[name]
		wants := t.wants[name]
		switch {
		case !ok:
			p.add("%s has no column %q", t.name, name)
		case len(wants) > 0 && !slices.Contains(wants, c.kind):
			p.add("%s.%s is of type %s, it must be %s", t.name, name, c.kind, strings.Join(wants, " or "))
		case s.Dialect == Postgres && name == s.columns.Seq && !c.notNull:
			p.add("%s.%s may be NULL, and no reader would get such a row: ALTER TABLE … ALTER COLUMN … SET NOT NULL", t.name, name)
		}
	}
	if !t.own {
		return
	}
	for _, name := range slices.Sorted(mapKeys(t.has)) {
		if _, ok := t.wants[name]; !ok && t.has[name].notNull && !t.has[name].hasDef {
			p.add("%s.%s is NOT NULL without a default, but the log does not fill it: give it a default, or map the table with Options.Columns", t.name, name)
		}
	}
}

func (p *problems) missing(s settings, t tableCheck) {
	switch {
	case t.name != s.names.table:
		p.add("its table %s does not exist: run EnsureSchema, or apply Schema(%s)", s.names.qualify(t.name), s.Dialect)
	case s.Columns != nil:
		p.add("%s, though Options.Columns maps it", missingTable)
	default:
		*p = append(*p, missingTable)
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

// types makes a list of wanted columns of "name type" pairs.
func types(pairs ...string) map[string][]string {
	wants := map[string][]string{}
	for _, pair := range pairs {
		name, kind, _ := strings.Cut(pair, " ")
		wants[name] = []string{kind}
	}
	return wants
}

// wantedHead are the columns of the head table.
func wantedHead(d Dialect) map[string][]string {
	switch d {
	case SQLite:
		return types("one integer", "version integer", "epoch text", "floor integer", "head integer", "server text")
	case MySQL:
		return types("one smallint", "version int", "epoch varchar", "floor bigint", "head bigint", "server varchar")
	}
	return types("one smallint", "version integer", "epoch text", "floor bigint", "head bigint", "server text")
}

// wantedLog are the columns of the log's table with the types they may have.
func wantedLog(s settings) map[string][]string {
	switch {
	case s.Columns != nil:
		return wantedMapped(s)
	case s.Dialect == SQLite:
		return types("seq integer", "id text", "topic text", "type text", "key text", "time integer", "data blob", "meta text")
	case s.Dialect == MySQL:
		return types("seq bigint", "id varbinary", "topic longtext", "type longtext", "key longtext", "time bigint", "data longblob", "meta longtext")
	}
	return types("seq bigint", "id text", "topic text", "type text", "key text", "time timestamp with time zone", "data bytea", "meta jsonb")
}

// wantedMapped are the columns of somebody else's table.
func wantedMapped(s settings) map[string][]string {
	seq := []string{"bigint", "integer"}
	if s.Dialect == Postgres {
		seq = []string{"bigint"} // an integer wraps or fails after 2^31 events
	}
	bytes := []string{"bytea", "blob", "longblob", "text", "json", "jsonb", "varchar", "character varying"}
	times := []string{
		"timestamp with time zone", "timestamp without time zone", "timestamp", "datetime",
		"text", "integer", "bigint", "real", "numeric", "varchar", "double precision",
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
	switch {
	case err != nil:
	case rows == 0:
		p.add("its head table %s is empty: run EnsureSchema", s.names.head)
	case rows > 1:
		p.add("its head table %s has %d rows: delete all but one", s.names.head, rows)
	case version != 1:
		p.add("its head table %s has version %d, this program knows version 1: use a newer one", s.names.head, version)
	}
	return err
}

// verifyNumbers looks for rows that no reader would get.
func (p *problems) verifyNumbers(ctx context.Context, db *sqlx.DB, s settings) error {
	n, seq := s.names, s.names.quote(s.columns.Seq)
	var low, above bool
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT min("+seq+") FROM "+n.log+") < 1, false)").Scan(&low)
	if err == nil && s.Mode == Sequencer {
		err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT max("+seq+") FROM "+n.log+") > (SELECT max(head) FROM "+n.head+"), false)").Scan(&above)
	}
	if low {
		p.add("%s has rows whose %s is below 1, which no reader gets: renumber or delete them", n.log, s.columns.Seq)
	}
	if above {
		p.add("%s has rows above the head that %s holds, so somebody else has numbered them: set head to the highest seq and call Renew", n.log, n.head)
	}
	return err
}

// noIndex says which index is missing.
func (p *problems) noIndex(s settings, table, column string) {
	n, do := s.names, "make it the primary key"
	if table == n.table && column == s.columns.ID {
		index := n.quote(n.table + "_id")
		do = fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s)", index, n.log, n.quote(column))
		if s.Columns == nil && s.Dialect != MySQL {
			do = "its index " + index + " is missing or another one, run EnsureSchema"
		}
	}
	p.add("%s.%s has no unique index: %s", n.qualify(table), column, do)
}
