package sqllog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// moveBatch is how many events one pass of the sequencer numbers.
const moveBatch = 1000

// sequencer is the engine of mode Sequencer. Writers insert into the inbox.
// A pass, run by whoever reads, locks the head row, moves the inbox rows that
// are visible by then into the log, numbers them head+1… in inbox order, and
// commits. "Not yet numbered" is a set and no position, so an inbox row that
// becomes visible late is moved by a later pass and simply gets a later seq.
//
// The head row's lock is released after the commit is visible, and every
// statement of the pass has a new snapshot (READ COMMITTED), so a pass sees all
// that the passes before it did.
type sequencer struct {
	*store
	sql    sequencerSQL
	strict bool // a statement of its own has a stricter isolation than READ COMMITTED
	pace   *pacer
}

// sequencerSQL is what differs between PostgreSQL and MySQL.
type sequencerSQL struct {
	lock    string // epoch, floor, head of the locked head row, and 0; waits for the lock
	advance string // stores the head number1 and tells other processes

	// pass is lock where there is move. Else it is a whole pass in one
	// statement, and returns the number of rows taken in the place of 0.
	pass    string
	tryPass string // the same, or NULLs or no row if another pass holds the lock

	// move numbers at most moveBatch inbox rows from head+1 on and returns how
	// many rows it took out of the inbox, and how many of them it numbered: the
	// others have an ID that the log holds. Nil where pass does that.
	move func(ctx context.Context, tx *sqlx.Tx, head uint64) (taken, numbered int, err error)
}

// errNotLocked: another pass is running.
var errNotLocked = errors.New("another process is numbering events")

// withHead runs fn in a transaction that has locked the head row, by lock or by
// a pass that has taken rows, then stores the head if fn has moved it.
func (q *sequencer) withHead(ctx context.Context, lock string, fn func(tx *sqlx.Tx, b *cdc.Bounds, taken int) error) (cdc.Bounds, error) {
	tx, err := q.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return cdc.Bounds{}, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	b, taken, err := scanPass(tx.QueryRowContext(ctx, lock))
	if err != nil {
		return b, err
	}
	head := b.Head
	if err := fn(tx, &b, taken); err != nil {
		return b, err
	}
	b.Last = b.Head
	if b.Head != head {
		if _, err := tx.ExecContext(ctx, inline(q.sql.advance, int64(b.Head))); err != nil {
			return b, err
		}
	}
	return b, commit(ctx, tx)
}

// pass numbers one batch and says how many rows it took out of the inbox: a
// full moveBatch if there may be others. It waits for a pass that is running,
// or returns errNotLocked.
func (q *sequencer) pass(ctx context.Context, wait bool) (b cdc.Bounds, taken int, err error) {
	query := q.sql.pass
	if !wait {
		query = q.sql.tryPass
	}
	if q.sql.move == nil && !q.strict { // saves the round trips of a transaction
		return scanPass(q.db.QueryRowContext(ctx, query))
	}
	b, err = q.withHead(ctx, query, func(tx *sqlx.Tx, b *cdc.Bounds, n int) error {
		taken, err = q.move(ctx, tx, b, n)
		return err
	})
	return b, taken, err
}

// move moves a batch, unless the pass has taken one already.
func (q *sequencer) move(ctx context.Context, tx *sqlx.Tx, b *cdc.Bounds, taken int) (int, error) {
	if q.sql.move == nil {
		return taken, nil
	}
	taken, numbered, err := q.sql.move(ctx, tx, b.Head)
	b.Head += uint64(numbered)
	return taken, err
}

// scanPass reads what a pass or a lock returned.
func scanPass(row *sql.Row) (b cdc.Bounds, taken int, err error) {
	var epoch sql.NullString
	var floor, head, rows sql.NullInt64
	err = row.Scan(&epoch, &floor, &head, &rows)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !epoch.Valid {
		err = errNotLocked
	}
	b = cdc.Bounds{Epoch: epoch.String, Floor: uint64(floor.Int64), Head: uint64(head.Int64), Last: uint64(head.Int64)}
	return b, int(rows.Int64), err
}

// settle implements engine: it waits for a pass that is running, because that
// one may have begun before the latest commit.
func (q *sequencer) settle(ctx context.Context) (cdc.Bounds, error) {
	st, err := q.peek(ctx)
	b := st.bounds
	if err == nil && st.pending {
		b, _, err = q.passes(ctx)
	}
	return b, err
}

// passes numbers all that is pending, and says how much that was.
func (q *sequencer) passes(ctx context.Context) (b cdc.Bounds, taken int, err error) {
	for {
		b, n, err := q.pass(ctx, true)
		taken += n
		if err != nil || n < moveBatch {
			return b, taken, err
		}
	}
}

// lookAgain numbers what a reader believes to be pending.
func (q *sequencer) lookAgain(ctx context.Context) (b cdc.Bounds, news bool, err error) {
	b, taken, err := q.passes(ctx)
	return b, taken > 0, err
}

// poll implements engine. After a look that found something the next begins
// without asking first.
func (q *sequencer) poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	if _, news := q.pace.latest(); !news {
		st, err := q.peek(ctx)
		if err != nil || !st.pending {
			return st.bounds, false, err
		}
	}
	err = q.pace.look(ctx, func(ctx context.Context) (cdc.Bounds, bool, error) {
		b, taken, err := q.pass(ctx, false)
		return b, taken > 0, err
	})
	if errors.Is(err, errNotLocked) {
		st, err := q.peek(ctx)
		return st.bounds, true, err
	}
	b, busy = q.pace.latest()
	return b, busy, err
}

// read numbers what is pending only if there is nothing else to return: a
// reader under load comes back anyway.
func (q *sequencer) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if !q.pace.found(after) {
		p, err := q.query(ctx, after, limit)
		if err != nil {
			return cdc.Page{}, err
		}
		if !p.state.pending || !p.stale(after) {
			return p.page(after)
		}
	}
	if err := q.pace.look(ctx, q.lookAgain); err != nil {
		return cdc.Page{}, err
	}
	p, err := q.query(ctx, after, limit)
	if err != nil {
		return cdc.Page{}, err
	}
	return p.page(after)
}

// append numbers what is in the inbox first, because it was committed before.
func (q *sequencer) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if len(events) == 0 {
		st, err := q.peek(ctx)
		return cdc.Receipt{Epoch: st.bounds.Epoch}, err
	}
	var receipt cdc.Receipt
	for {
		more := false
		_, err := q.withHead(ctx, q.sql.pass, func(tx *sqlx.Tx, b *cdc.Bounds, taken int) error {
			taken, err := q.move(ctx, tx, b, taken)
			if more = taken == moveBatch; err != nil || more {
				return err
			}
			receipt, err = q.place(ctx, tx, b, events)
			return err
		})
		if err != nil || !more {
			return receipt, err
		}
	}
}

// place adds the events above b.Head and raises it.
func (q *sequencer) place(ctx context.Context, tx *sqlx.Tx, b *cdc.Bounds, events []cdc.Event) (cdc.Receipt, error) {
	f, err := q.dedupe(ctx, tx, events)
	if err != nil {
		return cdc.Receipt{}, err
	}
	seqs := make([]uint64, len(f.events))
	for i := range seqs {
		b.Head++
		seqs[i] = b.Head
	}
	return f.receipt(b.Epoch, seqs), q.insert(ctx, tx, q.settings.names.log, f.events, seqs)
}

func (q *sequencer) appendTx(ctx context.Context, tx Tx, events []cdc.Event) error {
	return q.insert(ctx, tx, q.settings.names.inbox, events, nil)
}

func (q *sequencer) trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n := q.settings.names
	_, err = q.withHead(ctx, q.sql.lock, func(tx *sqlx.Tx, b *cdc.Bounds, _ int) error {
		to := min(seq, b.Head, b.Floor+trimBatch) // seqs are dense
		if to <= b.Floor {
			return nil
		}
		res, err := tx.ExecContext(ctx, tx.Rebind("DELETE FROM "+n.log+" WHERE seq <= ?"), int64(to))
		if err != nil {
			return err
		}
		deleted, err := res.RowsAffected()
		if err != nil {
			return err
		}
		removed, more = int(deleted), to < min(seq, b.Head)
		_, err = tx.ExecContext(ctx, tx.Rebind("UPDATE "+n.head+" SET floor = ? WHERE one = 1"), int64(to))
		return err
	})
	if err != nil {
		removed = 0
	}
	return removed, more, err
}

func (q *sequencer) renew(ctx context.Context) (string, error) { return q.setEpoch(ctx) }

func (q *sequencer) close() error { return nil }

func (q *sequencer) peek(ctx context.Context) (state, error) { return q.store.peek(ctx) }
