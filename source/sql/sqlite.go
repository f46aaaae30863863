package sqllog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// sqlite is the engine of mode SingleWriter. SQLite runs one writing
// transaction at a time, so the order of AUTOINCREMENT numbers is that of the
// commits. The head is the number that AUTOINCREMENT itself stores: deleting
// rows does not lower it.
type sqlite struct {
	*store

	mu     sync.Mutex
	pinned *sqlx.Conn // sees every commit of other connections in its data_version
	seen   int64      // data_version of the last poll on pinned
	last   cdc.Bounds // of the last poll
}

// sqliteNow is microseconds since 1970, as exact as SQLite's clock: to the
// millisecond.
const sqliteNow = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

// busyWait is how long a write waits for another connection's if the context
// does not end before.
const busyWait = 30 * time.Second

func newSQLite(db *sqlx.DB, s settings) *sqlite {
	n, c := s.names, s.columns
	state := fmt.Sprintf(`SELECT 0 AS seq, h.epoch AS id, h.floor AS topic, %[1]s AS type, %[1]s AS key, NULL AS time, NULL AS data,`+
		` '0 - ' || CASE WHEN %[1]s < h.floor THEN 'rewound' ELSE '-' END AS meta FROM %[2]s h WHERE h.one = 1`, sqliteNumber(n), n.head)
	t := &store{
		db: db, settings: s, stateSQL: state, now: sqliteNow, onKnownID: onKnownID(s),
		kept: &keptStatements{db: db, statements: map[string]*sql.Stmt{}},
	}
	if s.Columns != nil {
		t.now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
	}
	t.pageSQL = state + " UNION ALL SELECT * FROM (SELECT " + selectList(n, c) + " FROM " + n.log +
		" WHERE " + n.quote(c.Seq) + " >= ? ORDER BY " + n.quote(c.Seq) + " LIMIT ?)"
	e := &sqlite{store: t}
	e.rewound = e.restart
	return e
}

// restart begins a new epoch after the numbers went back below the floor: the
// table was made anew, or sqlite_sequence was edited.
func (e *sqlite) restart(ctx context.Context, _ state) error {
	n, c := e.settings.names, e.settings.columns
	return e.write(ctx, func(conn *sqlx.Conn) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch = ?, floor = coalesce((SELECT min(%s) - 1 FROM %s), 0) WHERE one = 1 AND floor > %s",
			n.head, n.quote(c.Seq), n.log, sqliteNumber(n)), cdc.NewEpoch())
		return err
	})
}

// sqliteNumber is the highest number that AUTOINCREMENT has given.
func sqliteNumber(n names) string {
	return "coalesce((SELECT seq FROM " + n.qualify("sqlite_sequence") + " WHERE name = " + literal(SQLite, n.table) + "), 0)"
}

// selectList reads the mapped columns in the layout of row.
func selectList(n names, c Columns) string {
	columns := []string{n.quote(c.Seq)}
	for _, column := range []string{c.ID, c.Topic, c.Type, c.Key, c.Time, c.Data, c.Meta} {
		if column == "" {
			columns = append(columns, "NULL")
			continue
		}
		columns = append(columns, n.quote(column))
	}
	return strings.Join(columns, ", ")
}

// settle implements engine: what is committed has its place already.
func (e *sqlite) settle(ctx context.Context) (cdc.Bounds, error) {
	st, err := e.peek(ctx)
	return st.bounds, err
}

// poll implements engine: while nothing is committed it costs one PRAGMA on a
// connection of its own. A connection does not see its own commits in
// data_version, so this one never writes.
func (e *sqlite) poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	version, err := e.dataVersion(ctx)
	if err != nil {
		return b, false, err
	}
	if version != 0 && version == e.seen {
		return e.last, false, nil
	}
	st, err := e.peek(ctx) // after the version: a commit in between is seen twice, not missed
	if err == nil {
		e.seen, e.last = version, st.bounds
	}
	return st.bounds, false, err
}

// dataVersion is 0 if the pool has too few connections to pin one. It must be
// called with mu held.
func (e *sqlite) dataVersion(ctx context.Context) (int64, error) {
	if most := e.db.Stats().MaxOpenConnections; most > 0 && most < 3 {
		return 0, nil
	}
	if e.pinned == nil {
		conn, err := e.db.Connx(ctx)
		if err != nil {
			return 0, err
		}
		e.pinned, e.seen = conn, 0
	}
	var version int64
	err := retryBusy(ctx, func() error { return e.pinned.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version) })
	if err != nil {
		_ = e.unpin() // the next poll takes a new one
		return 0, err
	}
	return version, nil
}

// unpin must be called with mu held.
func (e *sqlite) unpin() error {
	if e.pinned == nil {
		return nil
	}
	err := e.pinned.Close()
	e.pinned = nil
	return err
}

func (e *sqlite) close() error {
	e.kept.close()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unpin()
}

func (e *sqlite) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	var p rowPage
	err := retryBusy(ctx, func() (err error) {
		p, err = e.query(ctx, after, limit)
		return err
	})
	if err != nil {
		return cdc.Page{}, err
	}
	return p.page(after)
}

// write runs fn in a transaction that has the writer's lock from its start: a
// transaction that reads first could not get it later.
func (e *sqlite) write(ctx context.Context, fn func(conn *sqlx.Conn) error) error {
	conn, err := e.db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only frees it
	if err := retryBusy(ctx, func() error { return exec(ctx, conn, "BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	if err := fn(conn); err != nil {
		abandon(conn) //nolint:contextcheck // rolls back though ctx has ended
		return err
	}
	// A COMMIT that has begun is seen through, so that its outcome is known.
	if err := retryBusy(ctx, func() error { return exec(context.WithoutCancel(ctx), conn, "COMMIT") }); err != nil {
		abandon(conn) //nolint:contextcheck // rolls back though ctx has ended
		return err
	}
	return nil
}

func exec(ctx context.Context, conn *sqlx.Conn, query string) error {
	_, err := conn.ExecContext(ctx, query)
	return err
}

// abandon rolls back, and throws the connection away if that fails.
func abandon(conn *sqlx.Conn) {
	if exec(context.Background(), conn, "ROLLBACK") != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // says: do not pool it
	}
}

// retryBusy repeats fn while another connection holds a lock that fn needs.
func retryBusy(ctx context.Context, fn func() error) error {
	deadline := time.Now().Add(busyWait)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := fn()
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		if stopped := sleep(ctx, pause); stopped != nil {
			return errors.Join(stopped, err)
		}
	}
}

// isBusy goes by the text, which is SQLite's own whatever the driver.
func isBusy(err error) bool {
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "SQLITE_BUSY") || strings.Contains(text, "database table is locked")
}

func (e *sqlite) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	st, err := e.peek(ctx)
	if err != nil || len(events) == 0 {
		return cdc.Receipt{Epoch: st.bounds.Epoch}, err
	}
	var receipt cdc.Receipt
	err = e.write(ctx, func(conn *sqlx.Conn) error {
		var err error
		receipt, err = e.place(ctx, conn, events)
		return err
	})
	return receipt, err
}

// place inserts the events and reads back their numbers. Rows of one statement
// are numbered in its order, and nobody else writes meanwhile.
func (e *sqlite) place(ctx context.Context, conn *sqlx.Conn, events []cdc.Event) (cdc.Receipt, error) {
	f := fresh{events: events, where: make([]int, len(events)), seqs: make([]uint64, len(events))}
	for i := range events {
		f.where[i] = i
	}
	if e.settings.columns.ID != "" {
		var err error
		if f, err = e.dedupe(ctx, conn, events); err != nil {
			return cdc.Receipt{}, err
		}
	}
	seqs, err := e.insertNumbered(ctx, conn, f.events)
	if err != nil {
		return cdc.Receipt{}, err
	}
	var epoch string
	if err := conn.QueryRowContext(ctx, "SELECT epoch FROM "+e.settings.names.head+" WHERE one = 1").Scan(&epoch); err != nil {
		return cdc.Receipt{}, err
	}
	return f.receipt(epoch, seqs), nil
}

// insertNumbered inserts in statements of many rows. Nobody else writes, so
// the rows of a statement have consecutive numbers up to the last one.
func (e *sqlite) insertNumbered(ctx context.Context, conn *sqlx.Conn, events []cdc.Event) ([]uint64, error) {
	seqs := make([]uint64, 0, len(events))
	for len(events) > 0 {
		chunk := events[:chunkLen(events)]
		query, args := e.insertSQL(e.settings.names.log, chunk, nil)
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

func (e *sqlite) appendTx(ctx context.Context, tx Tx, events []cdc.Event) error {
	return e.insert(ctx, tx, e.settings.names.log, events, nil)
}

func (e *sqlite) trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n, c := e.settings.names, e.settings.columns
	err = e.write(ctx, func(conn *sqlx.Conn) error {
		// Holes are legal, so the batch is counted in rows.
		var upTo sql.NullInt64
		err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT max(%[1]s), count(*) FROM (SELECT %[1]s FROM %[2]s WHERE %[1]s <= ? ORDER BY %[1]s LIMIT ?)",
			n.quote(c.Seq), n.log), int64(seq), trimBatch).Scan(&upTo, &removed)
		if err != nil || removed == 0 {
			return err
		}
		more = removed == trimBatch
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+n.log+" WHERE "+n.quote(c.Seq)+" <= ?", upTo.Int64); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "UPDATE "+n.head+" SET floor = max(floor, ?) WHERE one = 1", upTo.Int64)
		return err
	})
	if err != nil {
		removed = 0
	}
	return removed, more, err
}

func (e *sqlite) renew(ctx context.Context) (epoch string, err error) {
	err = retryBusy(ctx, func() error {
		epoch, err = e.setEpoch(ctx)
		return err
	})
	return epoch, err
}

func (e *sqlite) peek(ctx context.Context) (st state, err error) {
	err = retryBusy(ctx, func() error {
		st, err = e.store.peek(ctx)
		return err
	})
	return st, err
}
