package engine

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// chunkRows and chunkBytes limit one INSERT statement, because of the limits
// on its parameters and, on MySQL, on its packet.
const (
	chunkRows  = 500
	chunkBytes = 4 << 20
)

// insert adds the events to a table that has our columns. seqs are the seqs of
// the events, or nil if the table draws them itself.
func (t *Base) insert(ctx context.Context, tx Tx, table string, events []cdc.Event, seqs []uint64) error {
	for len(events) > 0 {
		n := ChunkLen(events)
		query, args := t.InsertSQL(table, events[:n], seqs)
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

// ChunkLen is how many of the events go into one statement.
func ChunkLen(events []cdc.Event) int {
	n, bytes := 0, 0
	for n < min(len(events), chunkRows) && (n == 0 || bytes+events[n].Size() <= chunkBytes) {
		bytes += events[n].Size()
		n++
	}
	return n
}

// OnConflict is the clause for a table that draws the seq at INSERT: an event
// whose ID it holds is left out.
func OnConflict(s Settings) string {
	switch {
	case s.Columns.ID == "":
		return ""
	case !s.Mapped:
		return " ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING" // as in our index
	}
	return " ON CONFLICT (" + s.Names.Quote(s.Columns.ID) + ") DO NOTHING"
}

// InsertSQL is one statement for all the events. seqs is nil if the table draws
// them itself.
func (t *Base) InsertSQL(table string, events []cdc.Event, seqs []uint64) (string, []any) {
	c := t.Settings.Columns.used(events)
	names := t.columnNames(c, seqs != nil)
	var query strings.Builder
	args := make([]any, 0, 8*len(events))
	query.WriteString("INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES ")
	for i, e := range events {
		if i > 0 {
			query.WriteString(", ")
		}
		first := len(args)
		if seqs != nil {
			args = append(args, int64(seqs[i]))
		}
		args = eventArgs(args, c, e)
		t.writeRow(&query, first, len(args), c.Time != "")
	}
	if table == t.Settings.Names.Log && c.ID != "" {
		query.WriteString(t.OnConflict)
	}
	return query.String(), args
}

// writeRow writes the placeholders of the arguments from first to end, and the
// time behind them.
func (t *Base) writeRow(query *strings.Builder, first, end int, withTime bool) {
	separator := "("
	for n := first; n < end; n++ {
		query.WriteString(separator + t.param(n+1))
		separator = ", "
	}
	if withTime {
		query.WriteString(separator + t.Now)
	}
	query.WriteString(")")
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

// columnNames are those that an INSERT fills, quoted, the time as the last.
func (t *Base) columnNames(c Columns, withSeq bool) []string {
	var names []string
	add := func(column string) {
		if column != "" {
			names = append(names, t.Settings.Names.Quote(column))
		}
	}
	if withSeq {
		add(c.Seq)
	}
	for _, column := range [...]string{c.ID, c.Topic, c.Type, c.Key, c.Data, c.Meta, c.Time} {
		add(column)
	}
	return names
}

// eventArgs are the values of columnNames, without the seq and the time.
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

// Addition are the events of an Append that are to be added, without those whose
// ID the log or an earlier event has.
type Addition struct {
	Events []cdc.Event

	index []int    // into Events, of each event of the Append; -1: the log has its ID
	seqs  []uint64 // of those that the log has
}

// Adding asks the log for the IDs of the events, if it has a column for them.
func (t *Base) Adding(ctx context.Context, q Querier, events []cdc.Event) (Addition, error) {
	stored, err := t.seqsOf(ctx, q, events)
	if err != nil {
		return Addition{}, err
	}
	a := Addition{index: make([]int, len(events)), seqs: make([]uint64, len(events))}
	first := map[string]int{} // index of the first event that has the ID
	for i, e := range events {
		if seq, ok := stored[e.ID]; ok && e.ID != "" {
			a.index[i], a.seqs[i] = -1, seq
			continue
		}
		if at, ok := first[e.ID]; ok && e.ID != "" {
			a.index[i] = at
			continue
		}
		first[e.ID], a.index[i] = len(a.Events), len(a.Events)
		a.Events = append(a.Events, e)
	}
	return a, nil
}

// Receipt for all the events, when those that were added got the seqs.
func (a Addition) Receipt(epoch string, seqs []uint64) cdc.Receipt {
	return a.Receipts(epoch, seqs, []int{len(a.index)})[0]
}

// Receipts of several appends, each of which ends where ends says, when the
// events that were added got the seqs. For a later append the log holds what an
// earlier one adds.
func (a Addition) Receipts(epoch string, seqs []uint64, ends []int) []cdc.Receipt {
	receipts := make([]cdc.Receipt, len(ends))
	from, earlier := 0, 0 // earlier: of those that were added
	for n, end := range ends {
		r := cdc.Receipt{Epoch: epoch, Seqs: a.seqs[from:end:end], Duplicate: end > from}
		added := earlier
		for i, at := range a.index[from:end] {
			if at >= 0 {
				r.Seqs[i] = seqs[at]
				r.Duplicate = r.Duplicate && at < earlier
				added = max(added, at+1)
			}
		}
		receipts[n] = r
		from, earlier = end, added
	}
	return receipts
}

// seqsOf are the seqs of the IDs that the log has.
func (t *Base) seqsOf(ctx context.Context, q Querier, events []cdc.Event) (map[string]uint64, error) {
	var ids []any
	for _, e := range events {
		if e.ID != "" {
			ids = append(ids, e.ID)
		}
	}
	seqs := map[string]uint64{}
	n, c := t.Settings.Names, t.Settings.Columns
	for len(ids) > 0 {
		chunk := ids[:min(len(ids), chunkRows)]
		ids = ids[len(chunk):]
		params := make([]string, len(chunk))
		for i := range params {
			params[i] = t.param(i + 1)
		}
		rows, err := q.QueryContext(ctx, "SELECT "+n.Quote(c.ID)+", "+n.Quote(c.Seq)+" FROM "+n.Log+" WHERE "+n.Quote(c.ID)+
			" IN ("+strings.Join(params, ", ")+")", chunk...)
		if err != nil {
			return nil, err
		}
		if err := scanSeqs(rows, seqs); err != nil {
			return nil, err
		}
	}
	return seqs, nil
}

func scanSeqs(rows *sql.Rows, seqs map[string]uint64) error {
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		var id string
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return err
		}
		seqs[id] = uint64(seq)
	}
	return rows.Err()
}
