package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// drawn is what modes Fence and AtCommit have in common: PostgreSQL tables
// whose seq is drawn from a sequence by the writer.
type drawn struct {
	*store
	sequence string // its quoted name
}

// sequenceOf finds the sequence that fills in the seq.
func sequenceOf(ctx context.Context, db *sqlx.DB, s settings) (string, error) {
	var name sql.NullString
	err := db.QueryRowContext(ctx, sequenceQuery, s.names.log, s.columns.Seq).Scan(&name)
	if err == nil && name.String == "" {
		err = errors.New("no sequence fills in the column " + s.columns.Seq)
	}
	return name.String, err
}

// sequenceQuery goes by what the column's default, or its identity, depends
// on, which also finds a sequence that the column does not own.
const sequenceQuery = `
SELECT (SELECT s.oid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
	JOIN pg_attrdef f ON f.oid = d.objid AND d.classid = 'pg_attrdef'::regclass
	WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum
	UNION ALL
	SELECT s.oid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
	WHERE d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i' LIMIT 1)
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = $2`

// lastOf is an expression: the last number that was drawn.
func lastOf(sequence string) string {
	return "(SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM " + sequence + ")"
}

// setBack stands for the identity of a server whose sequence is below what the
// log has given.
const setBack = "sequence-set-back"

// newDrawn reads the rows that fulfil bound, a condition with the parameter
// number1; empty: all rows.
func newDrawn(ctx context.Context, db *sqlx.DB, s settings, bound string) (*drawn, error) {
	sequence, err := sequenceOf(ctx, db, s)
	if err != nil {
		return nil, err
	}
	columns, err := columnsOf(ctx, db, s, s.names.table)
	if err != nil {
		return nil, err
	}
	n, seq := s.names, s.names.quote(s.columns.Seq)
	from, limit := number2, number3
	if bound == "" {
		bound, from, limit = "true", number1, number2
	}
	state := postgresState{
		head:    fmt.Sprintf("greatest(h.floor, h.head, coalesce((SELECT max(%s) FROM %s WHERE %s), 0))", seq, n.log, bound),
		last:    "greatest(h.head, " + lastOf(sequence) + ")",
		pending: "false",
		server:  "CASE WHEN " + lastOf(sequence) + " < greatest(h.floor, h.head) THEN '" + setBack + "' ELSE " + postgresServer + " END",
	}.sql(n)
	d := &drawn{sequence: sequence, store: &store{
		db: db, settings: s, stateSQL: state, onKnownID: onKnownID(s),
		pageSQL: fmt.Sprintf("%s UNION ALL (SELECT %s FROM %s WHERE %s AND %s >= %s ORDER BY %s LIMIT %s)",
			state, postgresSelect(s, columns), n.log, bound, seq, from, seq, limit),
		now: postgresNow(columns[s.columns.Time].kind),
	}}
	d.rewound = d.restart
	return d, nil
}

// postgresNow is the time as a column of the type stores it.
func postgresNow(kind string) string {
	switch {
	case kind == "" || strings.HasPrefix(kind, "timestamp"):
		return "clock_timestamp()"
	case kind == "text" || kind == "character varying":
		return `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	}
	return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
}

// postgresSelect reads the mapped columns in the layout of row, whatever their
// types.
func postgresSelect(s settings, columns map[string]column) string {
	c, n := s.columns, s.names
	list := []string{n.quote(c.Seq)}
	text := func(name string) {
		if name == "" {
			list = append(list, "NULL")
			return
		}
		list = append(list, n.quote(name)+"::text")
	}
	for _, name := range []string{c.ID, c.Topic, c.Type, c.Key} {
		text(name)
	}
	if c.Time == "" {
		list = append(list, "NULL")
	} else {
		list = append(list, n.quote(c.Time))
	}
	switch {
	case c.Data == "":
		list = append(list, "NULL")
	case columns[c.Data].kind == "bytea":
		list = append(list, n.quote(c.Data))
	default:
		list = append(list, "convert_to("+n.quote(c.Data)+"::text, 'UTF8')")
	}
	text(c.Meta)
	return strings.Join(list, ", ")
}

// restart begins a new epoch on another server, and when the sequence was set
// back and no row is left above it, as TRUNCATE … RESTART IDENTITY does.
// Otherwise the next rows would appear below those that were read already.
func (d *drawn) restart(ctx context.Context, st state) error {
	if st.current != setBack {
		return d.newServer(ctx, st)
	}
	n, seq := d.settings.names, d.settings.names.quote(d.settings.columns.Seq)
	res, err := d.db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch = $1, head = 0, floor = coalesce((SELECT min(%s) - 1 FROM %s), 0)"+
		" WHERE one = 1 AND epoch = $2 AND NOT EXISTS (SELECT 1 FROM %s WHERE %s > %s)", n.head, seq, n.log, n.log, seq, lastOf(d.sequence)),
		cdc.NewEpoch(), st.bounds.Epoch)
	if err != nil {
		return err
	}
	if changed, err := res.RowsAffected(); err != nil || changed > 0 {
		return err
	}
	var above bool
	if err := d.db.QueryRowContext(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s > %s)", n.log, seq, lastOf(d.sequence))).Scan(&above); err != nil || !above {
		return err // another process began the new epoch
	}
	return fmt.Errorf("the sequence %s was set back below rows that the table has, so new rows would appear below those already read: setval('%s', (SELECT max(%s) FROM %s)) and call Renew",
		d.sequence, d.sequence, seq, n.log)
}

// appendDrawn appends in a transaction that runs first before anything else.
func (d *drawn) appendDrawn(ctx context.Context, events []cdc.Event, first, last string) (cdc.Receipt, error) {
	for attempt := 0; ; attempt++ {
		r, err := d.appendOnce(ctx, events, first, last)
		if attempt == 3 || sqlState(err) != "23505" { // another transaction may have added one of the IDs
			return r, err
		}
	}
}

func (d *drawn) appendOnce(ctx context.Context, events []cdc.Event, first, last string) (cdc.Receipt, error) {
	tx, err := d.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return cdc.Receipt{}, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if first != "" {
		if _, err := tx.ExecContext(ctx, first); err != nil {
			return cdc.Receipt{}, err
		}
	}
	var epoch string
	if err := tx.QueryRowContext(ctx, "SELECT epoch FROM "+d.settings.names.head+" WHERE one = 1").Scan(&epoch); err != nil {
		return cdc.Receipt{}, err
	}
	f := fresh{events: events, where: make([]int, len(events)), seqs: make([]uint64, len(events))}
	for i := range events {
		f.where[i] = i
	}
	if d.settings.columns.ID != "" {
		if f, err = d.dedupe(ctx, tx, events); err != nil {
			return cdc.Receipt{}, err
		}
	}
	seqs, err := d.insertReturning(ctx, tx, f.events)
	if err == nil && last != "" {
		_, err = tx.ExecContext(ctx, last)
	}
	if err != nil {
		return cdc.Receipt{}, err
	}
	return f.receipt(epoch, seqs), commit(ctx, tx)
}

// insertReturning inserts the events and returns the numbers they got.
func (d *drawn) insertReturning(ctx context.Context, tx *sqlx.Tx, events []cdc.Event) ([]uint64, error) {
	var seqs []uint64
	for len(events) > 0 {
		chunk := events[:chunkLen(events)]
		events = events[len(chunk):]
		query, args := d.insertSQL(d.settings.names.log, chunk, nil)
		query = strings.TrimSuffix(query, d.onKnownID)
		var got []int64
		if err := tx.SelectContext(ctx, &got, query+" RETURNING "+d.settings.names.quote(d.settings.columns.Seq), args...); err != nil {
			return nil, err
		}
		for _, seq := range got {
			seqs = append(seqs, uint64(seq))
		}
	}
	return seqs, nil
}

// trimDrawn removes a batch of rows, of which all are decided.
func (d *drawn) trimDrawn(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n, c := d.settings.names, d.settings.names.quote(d.settings.columns.Seq)
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	var highest int64
	err = tx.QueryRowContext(ctx, fmt.Sprintf("WITH gone AS (DELETE FROM %[1]s WHERE %[2]s = ANY (ARRAY(SELECT %[2]s FROM %[1]s WHERE %[2]s <= $1 ORDER BY %[2]s LIMIT $2)) RETURNING %[2]s)"+
		" SELECT count(*), coalesce(max(%[2]s), 0) FROM gone", n.log, c), int64(seq), trimBatch).Scan(&removed, &highest)
	if err != nil {
		return 0, false, err
	}
	if removed > 0 {
		if _, err := tx.ExecContext(ctx, "UPDATE "+n.head+" SET floor = greatest(floor, $1) WHERE one = 1", highest); err != nil {
			return 0, false, err
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, false, err
	}
	return removed, removed == trimBatch, nil
}

// sqlState is the code of PostgreSQL's error, empty if it is none.
func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}
