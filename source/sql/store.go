package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// store is what the engines have in common: the head table, pages read by one
// statement, and rows written.
type store struct {
	db       *sqlx.DB
	settings settings
	sizer    sizer

	stateSQL string // the state alone, in the layout of row
	pageSQL  string // the state and the events from a seq on, at most so many
	now      string // expression: the time as the log's column stores it

	dense     bool   // the log's seqs have no holes, so that one shows rows which somebody else has removed
	onKnownID string // ends an INSERT of events with IDs, see onKnownID

	kept *keptStatements // of stateSQL and pageSQL; nil: they are run with their numbers inline

	// rewound is called when the store shows that it went back, or is another
	// one than it was: it begins a new epoch.
	rewound func(ctx context.Context, s state) error
}

// peek reads the state alone.
func (t *store) peek(ctx context.Context, args ...int64) (state, error) {
	for {
		rows, err := t.rows(ctx, t.stateSQL, args...)
		if err != nil {
			return state{}, err
		}
		p, err := t.sizer.collect(rows, 0, 1, 1)
		if err != nil {
			return state{}, err
		}
		if renewed, err := t.checkServer(ctx, p.state); err != nil || !renewed {
			return p.state, err
		}
	}
}

// query reads the page above after in one statement; args are those of the
// statement that come before its seq and limit.
func (t *store) query(ctx context.Context, after cdc.Cursor, limit int, args ...int64) (rowPage, error) {
	from, asked := clampSeq(after.Seq), t.sizer.rows(limit)
	extra := 1 // the event at the cursor, for its tag
	if after.Tag == "" {
		extra, from = 0, clampSeq(from+1)
	}
	args = append(args, int64(from), int64(asked+extra))
	for {
		rows, err := t.rows(ctx, t.pageSQL, args...)
		if err != nil {
			return rowPage{}, err
		}
		p, err := t.sizer.collect(rows, after.Seq, asked, limit)
		if err != nil {
			return rowPage{}, err
		}
		again, err := t.checkServer(ctx, p.state)
		if err == nil && !again && t.dense {
			again, err = t.checkHoles(ctx, p, after.Seq)
		}
		if err != nil || !again {
			return p, err
		}
	}
}

// checkHoles raises the floor above the rows that somebody else has removed,
// by TRUNCATE for instance: a reader must be told.
func (t *store) checkHoles(ctx context.Context, p rowPage, after uint64) (found bool, err error) {
	hole := p.hole(after)
	if hole == 0 {
		return false, nil
	}
	_, err = t.db.ExecContext(ctx, t.db.Rebind("UPDATE "+t.settings.names.head+" SET floor = ? WHERE one = 1 AND epoch = ? AND floor < ?"),
		int64(hole), p.state.bounds.Epoch, int64(hole))
	return true, err
}

// hole is the highest seq that the page of a dense log should have and has
// not; 0: there is none.
func (p rowPage) hole(after uint64) uint64 {
	b, hole := p.state.bounds, uint64(0)
	if after < b.Floor || after > b.Head { // the cursor is an error
		return 0
	}
	last := after
	for _, e := range p.events {
		if e.Seq != last+1 {
			hole = e.Seq - 1
		}
		last = e.Seq
	}
	if !p.full && last < b.Head {
		hole = b.Head
	}
	return hole
}

// stale reports whether a reader should look for what is new: there is nothing
// to return, or an error that names the bounds.
func (p rowPage) stale(after cdc.Cursor) bool {
	return len(p.events) == 0 || p.state.bounds.Check(after) != nil
}

// page judges the cursor in the view that the page was read in.
func (p rowPage) page(after cdc.Cursor) (cdc.Page, error) {
	b := p.state.bounds
	if err := b.Check(after); err != nil {
		return cdc.Page{}, err
	}
	if err := b.CheckTag(after, p.at); err != nil {
		return cdc.Page{}, err
	}
	next := max(after.Seq, b.Head)
	if p.full {
		next = p.events[len(p.events)-1].Seq
	}
	return cdc.Page{Events: p.events, Next: next}, nil
}

// checkServer compares the server with the one that the head table was last
// used on. A copy, or the survivor of a failover, may have lost commits that
// were already read, so it begins a new epoch.
func (t *store) checkServer(ctx context.Context, s state) (renewed bool, err error) {
	switch s.current {
	case s.stored:
		return false, nil
	case replicaServer:
		return false, errReplica
	}
	return true, t.rewound(ctx, s)
}

// newServer is rewound for a store whose server has an identity. Of several
// processes one wins.
func (t *store) newServer(ctx context.Context, s state) error {
	_, err := t.db.ExecContext(ctx, t.db.Rebind("UPDATE "+t.settings.names.head+" SET epoch = ?, server = ? WHERE one = 1 AND server = ?"),
		cdc.NewEpoch(), s.current, s.stored)
	return err
}

// setEpoch gives the head table a new epoch.
func (t *store) setEpoch(ctx context.Context) (string, error) {
	epoch := cdc.NewEpoch()
	res, err := t.db.ExecContext(ctx, t.db.Rebind("UPDATE "+t.settings.names.head+" SET epoch = ? WHERE one = 1"), epoch)
	if err != nil {
		return "", err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return "", errNoHead
	}
	return epoch, nil
}

// chunkRows and chunkBytes limit one INSERT statement, because of the limits
// on its parameters and, on MySQL, on its packet.
const (
	chunkRows  = 500
	chunkBytes = 4 << 20
)

// insert adds the events to a table that has our columns. seqs are the seqs of
// the events, or nil if the table draws them itself.
func (t *store) insert(ctx context.Context, tx Tx, table string, events []cdc.Event, seqs []uint64) error {
	for len(events) > 0 {
		n := chunkLen(events)
		query, args := t.insertSQL(table, events[:n], seqs)
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		events = events[n:]
		if seqs != nil {
			seqs = seqs[n:]
		}
	}
	return nil
}

// chunkLen is how many of the events go into one statement.
func chunkLen(events []cdc.Event) int {
	n, bytes := 0, 0
	for n < min(len(events), chunkRows) && (n == 0 || bytes+events[n].Size() <= chunkBytes) {
		bytes += events[n].Size()
		n++
	}
	return n
}

// onKnownID is the clause for a table that draws the seq at INSERT: an event
// whose ID it holds is left out.
func onKnownID(s settings) string {
	switch {
	case s.columns.ID == "":
		return ""
	case s.Columns == nil:
		return " ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING" // as in our index
	}
	return " ON CONFLICT (" + s.names.quote(s.columns.ID) + ") DO NOTHING"
}

// insertSQL is one statement for all the events.
func (t *store) insertSQL(table string, events []cdc.Event, seqs []uint64) (string, []any) {
	c := t.settings.columns.used(events)
	columns, values := t.columnList(c, seqs != nil)
	var query strings.Builder
	args := make([]any, 0, 8*len(events))
	query.WriteString("INSERT INTO " + table + " (" + columns + ") VALUES ")
	for i, e := range events {
		if i > 0 {
			query.WriteString(", ")
		}
		query.WriteString(values)
		if seqs != nil {
			args = append(args, int64(seqs[i]))
		}
		args = eventArgs(args, c, e)
	}
	if table == t.settings.names.log && c.ID != "" {
		query.WriteString(t.onKnownID)
	}
	return t.db.Rebind(query.String()), args
}

// used leaves out the columns that would be NULL in all rows: a writer pays for
// each of them.
func (c Columns) used(events []cdc.Event) Columns {
	if !slices.ContainsFunc(events, func(e cdc.Event) bool { return e.ID != "" }) {
		c.ID = ""
	}
	if !slices.ContainsFunc(events, func(e cdc.Event) bool { return len(e.Meta) > 0 }) {
		c.Meta = ""
	}
	return c
}

// columnList are the names of the columns and the placeholders of one row.
func (t *store) columnList(c Columns, withSeq bool) (columns, values string) {
	var names, marks []string
	add := func(column, mark string) {
		if column != "" {
			names = append(names, t.settings.names.quote(column))
			marks = append(marks, mark)
		}
	}
	if withSeq {
		add(c.Seq, "?")
	}
	for _, column := range [...]string{c.ID, c.Topic, c.Type, c.Key, c.Data, c.Meta} {
		add(column, "?")
	}
	add(c.Time, t.now)
	return strings.Join(names, ", "), "(" + strings.Join(marks, ", ") + ")"
}

// eventArgs are the values for columnList's placeholders, without the seq.
func eventArgs(args []any, c Columns, e cdc.Event) []any {
	add := func(column string, value any) {
		if column != "" {
			args = append(args, value)
		}
	}
	var id, data any
	if e.ID != "" {
		id = e.ID
	}
	if e.Data != nil {
		data = e.Data
	}
	add(c.ID, id)
	add(c.Topic, e.Topic)
	add(c.Type, e.Type)
	add(c.Key, e.Key)
	add(c.Data, data)
	add(c.Meta, formatMeta(e.Meta))
	return args
}

// fresh are the events to be added, without those whose ID the log or an
// earlier event has; where has the index into fresh of each of the events, or
// -1 and the seq in seqs.
type fresh struct {
	events []cdc.Event
	where  []int
	seqs   []uint64
}

// dedupe asks the log for the IDs of the events.
func (t *store) dedupe(ctx context.Context, q sqlx.QueryerContext, events []cdc.Event) (fresh, error) {
	known, err := t.seqsOf(ctx, q, events)
	if err != nil {
		return fresh{}, err
	}
	f := fresh{where: make([]int, len(events)), seqs: make([]uint64, len(events))}
	first := map[string]int{}
	for i, e := range events {
		if seq, ok := known[e.ID]; ok && e.ID != "" {
			f.where[i], f.seqs[i] = -1, seq
			continue
		}
		if at, ok := first[e.ID]; ok && e.ID != "" {
			f.where[i] = at
			continue
		}
		first[e.ID], f.where[i] = len(f.events), len(f.events)
		f.events = append(f.events, e)
	}
	return f, nil
}

// receipt for all the events, when those in fresh got the seqs.
func (f fresh) receipt(epoch string, seqs []uint64) cdc.Receipt {
	r := cdc.Receipt{Epoch: epoch, Seqs: f.seqs, Duplicate: len(f.events) == 0 && len(f.seqs) > 0}
	for i, at := range f.where {
		if at >= 0 {
			r.Seqs[i] = seqs[at]
		}
	}
	return r
}

func (t *store) seqsOf(ctx context.Context, q sqlx.QueryerContext, events []cdc.Event) (map[string]uint64, error) {
	var ids []any
	for _, e := range events {
		if e.ID != "" {
			ids = append(ids, e.ID)
		}
	}
	known := map[string]uint64{}
	n, c := t.settings.names, t.settings.columns
	for len(ids) > 0 {
		chunk := ids[:min(len(ids), chunkRows)]
		ids = ids[len(chunk):]
		query := "SELECT " + n.quote(c.ID) + ", " + n.quote(c.Seq) + " FROM " + n.log + " WHERE " + n.quote(c.ID) +
			" IN (?" + strings.Repeat(", ?", len(chunk)-1) + ")"
		rows, err := q.QueryContext(ctx, t.db.Rebind(query), chunk...)
		if err != nil {
			return nil, err
		}
		if err := scanSeqs(rows, known); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func scanSeqs(rows *sql.Rows, known map[string]uint64) error {
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var id string
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return err
		}
		known[id] = uint64(seq)
	}
	return rows.Err()
}

// commit ends the transaction of an Append. If the reply was lost, nobody can
// tell whether it happened.
func commit(ctx context.Context, tx *sqlx.Tx) error {
	if err := context.Cause(ctx); err != nil {
		return err // Tx.Commit would not even ask the server
	}
	err := tx.Commit()
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return err
	}
	if code := sqlState(err); code != "" && !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57") {
		return err // the server says that it refused
	}
	return fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
}
