package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// singleWriter is the engine of mode SingleWriter. SQLite runs one writing
// transaction at a time, so the order of AUTOINCREMENT numbers is that of the
// commits. The head is the number that AUTOINCREMENT itself stores: deleting
// rows does not lower it.
type singleWriter struct {
	*engine.Base
	host *engine.Host

	mu   sync.Mutex
	seen version    // at the last poll
	last cdc.Bounds // of the last poll
}

// now is microseconds since 1970, as exact as SQLite's clock: to the
// millisecond.
const now = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

// version is the data_version of a connection, which sees every commit of other
// connections in it. The zero value is that of none.
type version struct {
	conn uint64 // age of the connection
	data int64
}

func open(ctx context.Context, h *engine.Host, s engine.Settings) (engine.Engine, error) {
	if keepsConnection(h.DB) {
		if err := h.Reserve(ctx); err != nil {
			return nil, err
		}
	}
	n, c := s.Names, s.Columns
	state := fmt.Sprintf(`SELECT 0 AS seq, h.epoch AS id, h.floor AS topic, %[1]s AS type, %[1]s AS key, NULL AS time, NULL AS data,`+
		` '0 - ' || CASE WHEN %[1]s < h.floor THEN 'rewound' ELSE '-' END AS meta FROM %[2]s h WHERE h.one = 1`, lastNumber(n, c), n.Head)
	b := &engine.Base{
		DB: h.DB, Settings: s, StateSQL: state, Now: now, OnConflict: engine.OnConflict(s),
		Kept: engine.NewStatements(h.DB),
	}
	if s.Mapped {
		b.Now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	b.PageSQL = state + " UNION ALL SELECT * FROM (SELECT " + selectList(n, c) + " FROM " + n.Log +
		" WHERE " + n.Quote(c.Seq) + " >= ? ORDER BY " + n.Quote(c.Seq) + " LIMIT ?)"
	b.Select = func(where string) string {
		return "SELECT " + selectList(n, c) + " FROM " + n.Log + " WHERE " + where
	}
	if !s.Mapped {
		b.Topics = topics(b.Select)
	}
	e := &singleWriter{Base: b, host: h}
	b.Rewound = e.restart
	return e, tellJournal(ctx, h.DB, s)
}

// restart begins a new epoch after the numbers went back below the floor: the
// table was made anew, or sqlite_sequence was edited.
func (e *singleWriter) restart(ctx context.Context, _ engine.State) error {
	n, c := e.Settings.Names, e.Settings.Columns
	return write(ctx, e.DB, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch = ?, floor = coalesce((SELECT min(%s) - 1 FROM %s), 0) WHERE one = 1 AND floor > %s",
			n.Head, n.Quote(c.Seq), n.Log, lastNumber(n, c)), cdc.NewEpoch())
		return err
	})
}

// lastNumber is the highest number that AUTOINCREMENT has given. A statement
// that fails and keeps its first rows, as OR FAIL does, gives numbers that
// sqlite_sequence has not.
func lastNumber(n engine.Names, c engine.Columns) string {
	return "max(coalesce((SELECT seq FROM " + n.Qualify("sqlite_sequence") + " WHERE name = " + literal(n.Table) + "), 0)," +
		" coalesce((SELECT max(" + n.Quote(c.Seq) + ") FROM " + n.Log + "), 0))"
}

// selectList reads the mapped columns in the layout of row.
func selectList(n engine.Names, c engine.Columns) string {
	columns := []string{n.Quote(c.Seq)}
	for _, column := range []string{c.ID, c.Topic, c.Type, c.Key, c.Time, c.Data, c.Meta} {
		if column == "" {
			columns = append(columns, "NULL")
			continue
		}
		columns = append(columns, n.Quote(column))
	}
	return strings.Join(columns, ", ")
}

// Bounds implements engine.Engine: what is committed has its place already.
func (e *singleWriter) Bounds(ctx context.Context) (cdc.Bounds, error) {
	st, err := e.State(ctx)
	return st.Bounds, err
}

// Poll implements engine.Engine: while nothing is committed it costs one PRAGMA
// on the connection that is kept. A connection does not see its own commits in
// data_version, so that one never writes.
func (e *singleWriter) Poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, err := e.dataVersion(ctx)
	if err != nil {
		return b, false, err
	}
	if v != (version{}) && v == e.seen {
		return e.last, false, nil
	}
	st, err := e.State(ctx) // after the version: a commit in between is seen twice, not missed
	if err == nil {
		e.seen, e.last = v, st.Bounds
	}
	return st.Bounds, false, err
}

// keepsConnection reports whether the pool has enough connections to keep one.
func keepsConnection(db engine.DB) bool {
	most := db.Stats().MaxOpenConnections
	return most == 0 || most >= 3
}

// dataVersion is the zero value if the pool has too few connections to keep one.
func (e *singleWriter) dataVersion(ctx context.Context) (v version, err error) {
	if !keepsConnection(e.DB) {
		return version{}, nil
	}
	err = e.host.Kept(ctx, func(conn *sql.Conn, age uint64) error {
		v.conn = age
		return retryBusy(ctx, func() error { return conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v.data) })
	})
	return v, err
}

// Close implements engine.Engine.
func (e *singleWriter) Close() error {
	e.Kept.Close()
	return nil
}

// Read implements engine.Engine.
func (e *singleWriter) Read(ctx context.Context, a engine.Ask) (cdc.Page, error) {
	var p engine.RowPage
	err := retryBusy(ctx, func() (err error) {
		p, err = e.Query(ctx, a)
		return err
	})
	if err != nil {
		return cdc.Page{}, err
	}
	makeValid(&p)
	return p.Page(a.After)
}

// Append implements engine.Engine.
func (e *singleWriter) Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	st, err := e.State(ctx)
	if err != nil || len(events) == 0 {
		return cdc.Receipt{Epoch: st.Bounds.Epoch}, err
	}
	var receipt cdc.Receipt
	err = write(ctx, e.DB, func(conn *sql.Conn) error {
		var err error
		receipt, err = e.place(ctx, conn, events)
		return err
	})
	return receipt, err
}

// place inserts the events and reads back their numbers. Rows of one statement
// are numbered in its order, and nobody else writes meanwhile.
func (e *singleWriter) place(ctx context.Context, conn *sql.Conn, events []cdc.Event) (cdc.Receipt, error) {
	a, err := e.Adding(ctx, conn, events)
	if err != nil {
		return cdc.Receipt{}, err
	}
	seqs, err := e.insertNumbered(ctx, conn, a.Events)
	if err != nil {
		return cdc.Receipt{}, err
	}
	var epoch string
	if err := conn.QueryRowContext(ctx, "SELECT epoch FROM "+e.Settings.Names.Head+" WHERE one = 1").Scan(&epoch); err != nil {
		return cdc.Receipt{}, err
	}
	return a.Receipt(epoch, seqs), nil
}

// insertNumbered inserts in statements of many rows. Nobody else writes, so
// the rows of a statement have consecutive numbers up to the last one.
func (e *singleWriter) insertNumbered(ctx context.Context, conn *sql.Conn, events []cdc.Event) ([]uint64, error) {
	seqs := make([]uint64, 0, len(events))
	for len(events) > 0 {
		chunk := events[:engine.ChunkLen(events)]
		query, args := e.InsertSQL(e.Settings.Names.Log, chunk, nil)
		res, err := conn.ExecContext(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		last, err := res.LastInsertId()
		if err != nil {
			return nil, err
		}
		for i := range chunk {
			seqs = append(seqs, uint64(last)-uint64(len(chunk)-1-i))
		}
		events = events[len(chunk):]
	}
	return seqs, nil
}

// AppendTx implements engine.Engine.
func (e *singleWriter) AppendTx(ctx context.Context, tx engine.Tx, events []cdc.Event) error {
	return e.AppendTo(ctx, tx, e.Settings.Names.Log, events)
}

// Trim implements engine.Engine.
func (e *singleWriter) Trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n, c := e.Settings.Names, e.Settings.Columns
	err = write(ctx, e.DB, func(conn *sql.Conn) error {
		// Holes are legal, so the batch is counted in rows.
		var upTo sql.NullInt64
		err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT max(%[1]s), count(*) FROM (SELECT %[1]s FROM %[2]s WHERE %[1]s <= ? ORDER BY %[1]s LIMIT ?)",
			n.Quote(c.Seq), n.Log), int64(seq), engine.TrimBatch).Scan(&upTo, &removed)
		if err != nil || removed == 0 {
			return err
		}
		more = removed == engine.TrimBatch
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+n.Log+" WHERE "+n.Quote(c.Seq)+" <= ?", upTo.Int64); err != nil {
			return err
		}
		if err := keepNumber(ctx, conn, n, upTo.Int64); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "UPDATE "+n.Head+" SET floor = max(floor, ?) WHERE one = 1", upTo.Int64)
		return err
	})
	if err != nil {
		removed = 0
	}
	return removed, more, err
}

// keepNumber makes sqlite_sequence have a number whose row is removed, so that
// it is not given again.
func keepNumber(ctx context.Context, conn *sql.Conn, n engine.Names, seq int64) error {
	sequence := n.Qualify("sqlite_sequence")
	res, err := conn.ExecContext(ctx, "UPDATE "+sequence+" SET seq = max(seq, ?) WHERE name = ?", seq, n.Table)
	if err != nil {
		return err
	}
	if rows, err := res.RowsAffected(); err != nil || rows > 0 {
		return err
	}
	_, err = conn.ExecContext(ctx, "INSERT INTO "+sequence+" (name, seq) VALUES (?, ?)", n.Table, seq)
	return err
}

// Renew implements engine.Engine.
func (e *singleWriter) Renew(ctx context.Context) (epoch string, err error) {
	err = retryBusy(ctx, func() error {
		epoch, err = e.SetEpoch(ctx, e.DB)
		return err
	})
	return epoch, err
}

// State implements engine.Engine.
func (e *singleWriter) State(ctx context.Context) (st engine.State, err error) {
	err = retryBusy(ctx, func() error {
		st, err = e.ReadState(ctx)
		return err
	})
	return st, err
}
