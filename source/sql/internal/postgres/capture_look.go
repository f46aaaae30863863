package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// column is what a trigger must know of a column's type. A domain counts as the
// type below it.
type column struct {
	number    int    // attnum, which a renamed column keeps
	typeOf    string // a condition on pg_attribute: the column has this type, or domain, still
	kind      string // format_type
	element   string // of an array; empty: it is none
	composite bool
	generated bool
}

// plan is the capture of one table, with what the catalog says about it.
type plan struct {
	*engine.Capture
	columns map[string]column
	equals  map[string]string // the equality operators of a unique index of key columns, by column
}

// Plan implements engine.Capturer.
func (capturer) Plan(ctx context.Context, q engine.Querier, c *engine.Capture) (engine.CapturePlan, error) {
	p := plan{Capture: c, columns: map[string]column{}, equals: map[string]string{}}
	for _, step := range []func(context.Context, engine.Querier) error{p.checkTable, p.readColumns, p.checkKey} {
		if err := step(ctx, q); err != nil {
			return nil, err
		}
	}
	return p, p.checkMark(ctx, q)
}

// checkTable refuses a table on which triggers do not see all, or which they
// may not read.
func (p plan) checkTable(ctx context.Context, q engine.Querier) error {
	var kind, persistence, encoding string
	var partition, inherits, hidden, readable bool
	err := q.QueryRowContext(ctx, "SELECT relkind::text, relpersistence::text, relispartition,"+
		" EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = c.oid OR inhparent = c.oid AND c.relkind = 'r'),"+
		" row_security_active(oid), has_table_privilege(oid, 'SELECT') OR has_any_column_privilege(oid, 'SELECT'), current_setting('server_encoding')"+
		" FROM pg_class c WHERE oid = to_regclass($1)", p.On.Log).
		Scan(&kind, &persistence, &partition, &inherits, &hidden, &readable, &encoding)
	switch {
	case err != nil:
		return err
	case kind != "r" && kind != "p":
		return errors.New("it is no table but a view, a foreign table or the like, whose rows no trigger sees: name the tables behind it")
	case persistence == "t":
		return errors.New("it is a temporary table, of which each connection has its own")
	case partition:
		return errors.New("it is a partition, and writes through its parent would not be seen: name the parent")
	case inherits:
		return errors.New("it inherits from a table or is inherited from, so writes that name the other would not be seen and no key is unique: use partitions")
	case hidden:
		return errors.New("row-level security hides rows from this user, whose rights the triggers have: give it BYPASSRLS, or drop FORCE ROW LEVEL SECURITY")
	case !readable:
		return errors.New("this user may not read it, and the triggers have its rights: GRANT SELECT")
	case encoding == "SQL_ASCII":
		return errors.New("the database has the encoding SQL_ASCII, whose texts may be no UTF-8, which events are")
	}
	return nil
}

const columnQuery = `
SELECT a.attname, a.attnum, CASE WHEN a.atttypid < 16384 THEN 'atttypid = ' || a.atttypid
	ELSE '(SELECT y.typname FROM pg_type y WHERE y.oid = atttypid) = ' || quote_literal((SELECT y.typname FROM pg_type y WHERE y.oid = a.atttypid)) END,
	format_type(t.oid, NULL), coalesce(format_type(e.oid, NULL), ''), t.typtype = 'c', a.attgenerated <> ''
FROM pg_attribute a
JOIN LATERAL (
	WITH RECURSIVE below(type, depth) AS (
		SELECT a.atttypid, 0
		UNION ALL
		SELECT d.typbasetype, depth + 1 FROM below JOIN pg_type d ON d.oid = below.type WHERE d.typtype = 'd'
	)
	SELECT type FROM below ORDER BY depth DESC LIMIT 1
) b ON true
JOIN pg_type t ON t.oid = b.type
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`

func (p plan) readColumns(ctx context.Context, q engine.Querier) error {
	rows, err := q.QueryContext(ctx, columnQuery, p.On.Log)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var name string
		var c column
		if err := rows.Scan(&name, &c.number, &c.typeOf, &c.kind, &c.element, &c.composite, &c.generated); err != nil {
			return err
		}
		p.columns[name] = c
	}
	return rows.Err()
}

// keyQuery finds a unique index of key columns with the equality operator of
// each, which need not lie in the search path.
const keyQuery = `
SELECT a.attname, 'OPERATOR(' || quote_ident(s.nspname) || '.' || o.oprname || ')'
FROM (
	SELECT * FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
	AND (SELECT bool_and(c.attname = ANY ($2)) FROM pg_attribute c WHERE c.attrelid = indrelid AND c.attnum = ANY (indkey[:indnkeyatts - 1]))
	ORDER BY indisprimary DESC, indexrelid LIMIT 1
) i
CROSS JOIN generate_series(0, i.indnkeyatts - 1) k
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
JOIN pg_opclass c ON c.oid = i.indclass[k]
JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3 AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
JOIN pg_operator o ON o.oid = m.amopopr
JOIN pg_namespace s ON s.oid = o.oprnamespace`

// checkKey wants a key that is unique and without NULL: rows are paired and
// looked up by it.
func (p plan) checkKey(ctx context.Context, q engine.Querier) error {
	for _, k := range p.Table.Key {
		if !p.Kinds[k].NotNull {
			return fmt.Errorf("the key column %q may be NULL, which identifies no row: make it NOT NULL", k)
		}
	}
	rows, err := q.QueryContext(ctx, keyQuery, p.On.Log, pq.Array(p.Table.Key))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var name, operator string
		if err := rows.Scan(&name, &operator); err != nil {
			return err
		}
		p.equals[name] = operator
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(p.equals) == 0 {
		return fmt.Errorf("no unique index says that %q identify a row: make one, or name other columns in Table.Key", p.Table.Key)
	}
	return nil
}

// checkMark refuses to take over what captures the table as something else. The
// function of a table that had this name before has the name, too, and may be
// replaced.
func (p plan) checkMark(ctx context.Context, q engine.Querier) error {
	sources, err := engine.List[string](ctx, q, "SELECT prosrc FROM pg_proc p JOIN pg_trigger t ON t.tgfoid = p.oid WHERE t.tgrelid = to_regclass($1) AND p.oid = to_regprocedure($2) LIMIT 1",
		p.On.Log, p.function()+"()")
	if err != nil {
		return err
	}
	return p.CheckMark(strings.Join(sources, ""))
}

// function is the quoted name of the function that all triggers of the table
// share.
func (p plan) function() string { return p.On.Qualify(p.Name("row")) }
