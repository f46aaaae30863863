package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// serial is what modes Fence and AtCommit have in common: tables whose seq the
// writer draws from a sequence.
type serial struct {
	*engine.Base
	sequence string // its quoted name
}

// sequenceOf finds the sequence that fills in the seq.
func sequenceOf(ctx context.Context, db engine.DB, s engine.Settings) (string, error) {
	var name sql.NullString
	err := db.QueryRowContext(ctx, sequenceQuery, s.Names.Log, s.Columns.Seq).Scan(&name)
	if err == nil && name.String == "" {
		err = errors.New("no sequence fills in the column " + s.Columns.Seq)
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

// newSerial reads the rows that fulfil bound, a condition with the parameter
// engine.Number1; empty: all rows.
func newSerial(ctx context.Context, db engine.DB, s engine.Settings, bound string) (*serial, error) {
	sequence, err := sequenceOf(ctx, db, s)
	if err != nil {
		return nil, err
	}
	columns, err := s.Dialect.Catalog.Columns(ctx, db, s.Names, s.Names.Table)
	if err != nil {
		return nil, err
	}
	n, seq := s.Names, s.Names.Quote(s.Columns.Seq)
	from, limit := engine.Number2, engine.Number3
	if bound == "" {
		bound, from, limit = "true", engine.Number1, engine.Number2
	}
	state := stateRow{
		head:    fmt.Sprintf("greatest(h.floor, h.head, coalesce((SELECT max(%s) FROM %s WHERE %s), 0))", seq, n.Log, bound),
		last:    "greatest(h.head, " + lastOf(sequence) + ")",
		pending: "false",
		server:  "CASE WHEN " + lastOf(sequence) + " < greatest(h.floor, h.head) THEN '" + setBack + "' ELSE " + serverIdentity + " END",
	}.sql(n)
	d := &serial{sequence: sequence, Base: &engine.Base{
		DB: db, Settings: s, StateSQL: state, OnConflict: engine.OnConflict(s),
		PageSQL: fmt.Sprintf("%s UNION ALL (SELECT %s FROM %s WHERE %s AND %s >= %s ORDER BY %s LIMIT %s)",
			state, selectList(s, columns), n.Log, bound, seq, from, seq, limit),
		Now: now(columns[s.Columns.Time].Kind),
	}}
	d.Rewound = d.restart
	d.Select = func(where string) string {
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s AND %s", selectList(s, columns), n.Log, bound, where)
	}
	return d, byTopics(ctx, d.Base)
}

// now is the time as a column of the type stores it.
func now(kind string) string {
	switch {
	case kind == "" || strings.HasPrefix(kind, "timestamp"):
		return "clock_timestamp()"
	case kind == "text" || kind == "character varying":
		return `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	}
	return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
}

// boundedTime reads a time that no reader could decode, infinity for one, as the
// first or the last that all can: it must not stop a stream.
func boundedTime(column, kind string) string {
	zone := ""
	switch {
	case strings.HasPrefix(kind, "timestamp with time zone"), kind == "timestamptz":
		zone = "+00"
	case kind == "date":
		column += "::timestamp"
	case !strings.HasPrefix(kind, "timestamp"):
		return column
	}
	return fmt.Sprintf("CASE WHEN %[1]s IS NOT NULL THEN least(greatest(%[1]s, '0001-01-01 00:00:00.000001%[2]s'), '9999-12-31 23:59:59.999999%[2]s') END", column, zone)
}

// selectList reads the mapped columns in the layout of row, whatever their
// types.
func selectList(s engine.Settings, columns map[string]engine.Column) string {
	c, n := s.Columns, s.Names
	list := []string{n.Quote(c.Seq)}
	text := func(name string) {
		if name == "" {
			list = append(list, "NULL")
			return
		}
		list = append(list, n.Quote(name)+"::text")
	}
	for _, name := range []string{c.ID, c.Topic, c.Type, c.Key} {
		text(name)
	}
	if c.Time == "" {
		list = append(list, "NULL")
	} else {
		list = append(list, boundedTime(n.Quote(c.Time), columns[c.Time].Kind))
	}
	switch {
	case c.Data == "":
		list = append(list, "NULL")
	case columns[c.Data].Kind == "bytea":
		list = append(list, n.Quote(c.Data))
	default:
		list = append(list, "convert_to("+n.Quote(c.Data)+"::text, 'UTF8')")
	}
	text(c.Meta)
	return strings.Join(list, ", ")
}

// restart begins a new epoch on another server, and when the sequence was set
// back and no row is left above it, as TRUNCATE … RESTART IDENTITY does.
// Otherwise the next rows would appear below those that were read already.
func (d *serial) restart(ctx context.Context, st engine.State) error {
	if st.Current != setBack {
		return d.NewServer(ctx, st)
	}
	n, seq := d.Settings.Names, d.Settings.Names.Quote(d.Settings.Columns.Seq)
	res, err := d.DB.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch = $1, head = 0, floor = coalesce((SELECT min(%s) - 1 FROM %s), 0)"+
		" WHERE one = 1 AND epoch = $2 AND NOT EXISTS (SELECT 1 FROM %s WHERE %s > %s)", n.Head, seq, n.Log, n.Log, seq, lastOf(d.sequence)),
		cdc.NewEpoch(), st.Bounds.Epoch)
	if err != nil {
		return err
	}
	if changed, err := res.RowsAffected(); err != nil || changed > 0 {
		return err
	}
	var above bool
	if err := d.DB.QueryRowContext(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s > %s)", n.Log, seq, lastOf(d.sequence))).Scan(&above); err != nil || !above {
		return err // another process began the new epoch
	}
	return fmt.Errorf("the sequence %s was set back below rows that the table has, so new rows would appear below those already read: setval('%s', (SELECT max(%s) FROM %s)) and call Renew",
		d.sequence, d.sequence, seq, n.Log)
}

// appendSerial adds the events of several appends in a transaction that runs
// first before anything else.
func (d *serial) appendSerial(ctx context.Context, join func() engine.Batch, first, last string) ([]cdc.Receipt, error) {
	for attempt := 0; ; attempt++ {
		r, err := d.appendOnce(ctx, join, first, last)
		if attempt == 3 || engine.SQLState(err) != "23505" { // another transaction may have added one of the IDs
			return r, err
		}
	}
}

func (d *serial) appendOnce(ctx context.Context, join func() engine.Batch, first, last string) (receipts []cdc.Receipt, err error) {
	err = engine.ReadCommitted(ctx, d.DB, func(tx engine.Session) error {
		if first != "" {
			if _, err := tx.ExecContext(ctx, first); err != nil {
				return err
			}
		}
		var epoch string
		if err := tx.QueryRowContext(ctx, "SELECT epoch FROM "+d.Settings.Names.Head+" WHERE one = 1").Scan(&epoch); err != nil {
			return err
		}
		batch := join()
		a, err := d.Adding(ctx, tx, batch.Events)
		if err != nil {
			return err
		}
		seqs, err := d.insertReturning(ctx, tx, a.Events)
		if err == nil && last != "" {
			_, err = tx.ExecContext(ctx, last)
		}
		if err != nil {
			return err
		}
		receipts = a.Receipts(epoch, seqs, batch.Ends)
		return nil
	})
	return receipts, err
}

// insertReturning inserts the events and returns the numbers they got.
func (d *serial) insertReturning(ctx context.Context, tx engine.Querier, events []cdc.Event) ([]uint64, error) {
	var seqs []uint64
	for len(events) > 0 {
		chunk := events[:engine.ChunkLen(events)]
		events = events[len(chunk):]
		query, args := d.InsertSQL(d.Settings.Names.Log, chunk, nil)
		query = strings.TrimSuffix(query, d.OnConflict)
		got, err := engine.List[uint64](ctx, tx, query+" RETURNING "+d.Settings.Names.Quote(d.Settings.Columns.Seq), args...)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, got...)
	}
	return seqs, nil
}

// trimSerial removes a batch of rows, of which all are decided.
func (d *serial) trimSerial(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n, c := d.Settings.Names, d.Settings.Names.Quote(d.Settings.Columns.Seq)
	err = engine.ReadCommitted(ctx, d.DB, func(tx engine.Session) error {
		var highest int64
		err := tx.QueryRowContext(ctx, fmt.Sprintf("WITH gone AS (DELETE FROM %[1]s WHERE %[2]s = ANY (ARRAY(SELECT %[2]s FROM %[1]s WHERE %[2]s <= $1 ORDER BY %[2]s LIMIT $2)) RETURNING %[2]s)"+
			" SELECT count(*), coalesce(max(%[2]s), 0) FROM gone", n.Log, c), int64(seq), engine.TrimBatch).Scan(&removed, &highest)
		if err == nil && removed > 0 {
			_, err = tx.ExecContext(ctx, "UPDATE "+n.Head+" SET floor = greatest(floor, $1) WHERE one = 1", highest)
		}
		return err
	})
	if err != nil {
		return 0, false, err
	}
	return removed, removed == engine.TrimBatch, nil
}
