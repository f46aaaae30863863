package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Problems are the differences between a database and what a log needs: each
// says what is wrong, and what to do if that is not obvious.
type Problems []string

// Add adds one.
func (p *Problems) Add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

const missingTable = "it does not exist"

// Types are the types that each column may have; none: any.
type Types map[string][]string

// OneType makes Types of "name type" pairs.
func OneType(pairs ...string) Types {
	types := Types{}
	for _, pair := range pairs {
		name, kind, _ := strings.Cut(pair, " ")
		types[name] = []string{kind}
	}
	return types
}

// Need is what a dialect needs of the tables.
type Need struct {
	Head Types // the columns of the head table
	Log  Types // those of the log's, if it is ours
	Seq  []string
	Also func(ctx context.Context, p *Problems) error // what only the dialect has; nil: nothing

	SeqNotNull bool // the seq's column could hold NULL
}

// table is a table of the log as it is and as it must be.
type table struct {
	name  string
	own   bool // made by us
	wants Types
	has   map[string]Column // none: the table does not exist
}

// tables are those that the mode needs, the log's first.
func (n Need) tables(s Settings) []table {
	log := n.Log
	if s.Mapped {
		log = n.mapped(s.Columns)
	}
	tables := []table{
		{name: s.Names.Table, own: !s.Mapped, wants: log},
		{name: s.Names.Table + "_head", own: true, wants: n.Head},
	}
	if s.HasInbox() {
		inbox := maps.Clone(n.Log)
		delete(inbox, "seq")
		inbox["pos"] = []string{"bigint"}
		tables = append(tables, table{name: s.Names.Table + "_inbox", own: true, wants: inbox})
	}
	return tables
}

// mapped are the columns of somebody else's table.
func (n Need) mapped(c Columns) Types {
	bytes := []string{"bytea", "blob", "longblob", "text", "json", "jsonb", "varchar", "character varying"}
	times := []string{
		"timestamp with time zone", "timestamp without time zone", "timestamp", "datetime",
		"text", "integer", "bigint", "real", "numeric", "varchar", "double precision",
	}
	wants := Types{}
	for name, types := range map[string][]string{c.Seq: n.Seq, c.ID: nil, c.Topic: nil, c.Type: nil, c.Key: nil, c.Time: times, c.Data: bytes, c.Meta: nil} {
		if name != "" {
			wants[name] = types
		}
	}
	return wants
}

// Compare is the Verify of a dialect: tables and columns, then what only the
// dialect has, then what the tables hold.
func Compare(ctx context.Context, db DB, s Settings, need Need) (Problems, error) {
	p, err := s.Dialect.Schema.Refuse(ctx, db, s)
	if err != nil {
		return nil, err
	}
	for _, t := range need.tables(s) {
		if t.has, err = s.Dialect.Catalog.Columns(ctx, db, s.Names, t.name); err != nil {
			return nil, err
		}
		p.compare(s, t, need.SeqNotNull)
	}
	if len(p) > 0 {
		return p, nil
	}
	if need.Also != nil {
		err = need.Also(ctx, &p)
	}
	if err == nil {
		err = p.verifyHead(ctx, db, s)
	}
	if err == nil {
		err = p.verifyNumbers(ctx, db, s)
	}
	return p, err
}

func (p *Problems) compare(s Settings, t table, seqNotNull bool) {
	if len(t.has) == 0 {
		p.missing(s, t)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(t.wants)) {
		c, ok := t.has[name]
		wants := t.wants[name]
		switch {
		case !ok:
			p.Add("%s has no column %q", t.name, name)
		case len(wants) > 0 && !slices.Contains(wants, c.Kind):
			p.Add("%s.%s is of type %s, it must be %s", t.name, name, c.Kind, strings.Join(wants, " or "))
		case seqNotNull && name == s.Columns.Seq && !c.NotNull:
			p.Add("%s.%s may be NULL, and no reader would get such a row: ALTER TABLE … ALTER COLUMN … SET NOT NULL", t.name, name)
		}
	}
	if !t.own {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(t.has)) {
		if _, ok := t.wants[name]; !ok && t.has[name].NotNull && !t.has[name].HasDefault {
			p.Add("%s.%s is NOT NULL without a default, but the log does not fill it: give it a default, or map the table with Options.Columns", t.name, name)
		}
	}
}

func (p *Problems) missing(s Settings, t table) {
	switch {
	case t.name != s.Names.Table:
		p.Add("its table %s does not exist: run EnsureSchema, or apply Schema(%s)", s.Names.Qualify(t.name), s.Dialect.Name)
	case s.Mapped:
		p.Add("%s, though Options.Columns maps it", missingTable)
	default:
		*p = append(*p, missingTable)
	}
}

// verifyHead looks at the one row of the head table.
func (p *Problems) verifyHead(ctx context.Context, db DB, s Settings) error {
	var rows, version int
	err := db.QueryRowContext(ctx, "SELECT count(*), coalesce(max(version), 0) FROM "+s.Names.Head).Scan(&rows, &version)
	switch {
	case err != nil:
	case rows == 0:
		p.Add("its head table %s is empty: run EnsureSchema", s.Names.Head)
	case rows > 1:
		p.Add("its head table %s has %d rows: delete all but one", s.Names.Head, rows)
	case version != 1:
		p.Add("its head table %s has version %d, this program knows version 1: use a newer one", s.Names.Head, version)
	}
	return err
}

// verifyNumbers looks for rows that no reader would get.
func (p *Problems) verifyNumbers(ctx context.Context, db DB, s Settings) error {
	n, seq := s.Names, s.Names.Quote(s.Columns.Seq)
	var low, above bool
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT min("+seq+") FROM "+n.Log+") < 1, false)").Scan(&low)
	if err == nil && s.Mode == Sequencer {
		err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT max("+seq+") FROM "+n.Log+") > (SELECT max(head) FROM "+n.Head+"), false)").Scan(&above)
	}
	if low {
		p.Add("%s has rows whose %s is below 1, which no reader gets: renumber or delete them", n.Log, s.Columns.Seq)
	}
	if above {
		p.Add("%s has rows above the head that %s holds, so somebody else has numbered them: set head to the highest seq and call Renew", n.Log, n.Head)
	}
	return err
}

// NoIndex adds that a column has no unique index. again says that EnsureSchema
// can make it.
func (p *Problems) NoIndex(s Settings, table, column string, again bool) {
	n, do := s.Names, "make it the primary key"
	if table == n.Table && column == s.Columns.ID {
		index := n.Quote(n.Table + "_id")
		do = fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s)", index, n.Log, n.Quote(column))
		if again && !s.Mapped {
			do = "its index " + index + " is missing or another one, run EnsureSchema"
		}
	}
	p.Add("%s.%s has no unique index: %s", n.Qualify(table), column, do)
}
