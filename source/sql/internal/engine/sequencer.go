package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// MoveBatch is how many events one pass of the sequencer numbers.
const MoveBatch = 1000

// NumberingEngine is the engine of mode Sequencer. Writers insert into the inbox.
// A pass, run by whoever reads, locks the head row, moves the inbox rows that
// are visible by then into the log, numbers them head+1… in inbox order, and
// commits. "Not yet numbered" is a set and no position, so an inbox row that
// becomes visible late is moved by a later pass and simply gets a later seq.
//
// The head row's lock is released after the commit is visible, and every
// statement of the pass has a new snapshot (READ COMMITTED), so a pass sees all
// that the passes before it did.
type NumberingEngine struct {
	*Base
	sql   Numbering
	pace  *Pacer
	group *Group
}

// NewNumbering returns the engine.
func NewNumbering(b *Base, sql Numbering) *NumberingEngine {
	b.Dense = true
	q := &NumberingEngine{Base: b, sql: sql, pace: NewPacer(b.Settings.Rest)}
	q.group = NewGroup(q.appendAll)
	return q
}

// Numbering is what differs between dialects that have a sequencer.
type Numbering struct {
	Lock    string // epoch, floor, head of the locked head row, 0 and NULL; waits for the lock
	Advance string // stores the head Number1 and tells other processes

	// Pass is Lock where there is Move. Else it is all of a pass in one
	// statement, and returns the number of rows taken in the place of 0.
	Pass    string // in the place of NULL it has what Base.Memory is to learn
	TryPass string // the same, or NULLs or no row if another pass holds the lock

	Strict bool // a statement of its own has a stricter isolation than READ COMMITTED

	// Move numbers at most MoveBatch inbox rows from head+1 on and returns how
	// many rows it took out of the inbox, and how many of them it numbered: the
	// others have an ID that the log holds. Nil where Pass does that.
	Move func(ctx context.Context, tx Session, head uint64) (taken, numbered int, err error)
}

// errNotLocked: another pass is running.
var errNotLocked = errors.New("another process is numbering events")

// withHead runs fn in a transaction that has locked the head row, by lock or by
// a pass that has taken rows, then stores the head if fn has moved it.
func (q *NumberingEngine) withHead(ctx context.Context, lock string, fn func(tx Session, b *cdc.Bounds, taken int) error) (b cdc.Bounds, err error) {
	var learnt string
	err = ReadCommitted(ctx, q.DB, func(tx Session) error {
		var taken int
		var err error
		if b, taken, learnt, err = q.scanPass(ctx, tx, lock); err != nil {
			return err
		}
		head := b.Head
		if err := fn(tx, &b, taken); err != nil {
			return err
		}
		b.Last = b.Head
		if b.Head != head {
			_, err = tx.ExecContext(ctx, Inline(q.sql.Advance, int64(b.Head)))
		}
		return err
	})
	if err == nil {
		q.learn(learnt)
	}
	return b, err
}

// learn is called when what a pass has done is committed.
func (q *NumberingEngine) learn(text string) {
	if q.Memory != nil {
		q.Memory.Learn(text)
	}
}

// pass numbers one batch and says how many rows it took out of the inbox: a
// full MoveBatch if there may be others. It waits for a pass that is running,
// or returns errNotLocked.
func (q *NumberingEngine) pass(ctx context.Context, wait bool) (b cdc.Bounds, taken int, err error) {
	query := q.sql.Pass
	if !wait {
		query = q.sql.TryPass
	}
	if q.sql.Move == nil && !q.sql.Strict { // saves the round trips of a transaction
		b, taken, learnt, err := q.scanPass(ctx, q.DB, query)
		if err == nil {
			q.learn(learnt)
		}
		return b, taken, err
	}
	b, err = q.withHead(ctx, query, func(tx Session, b *cdc.Bounds, n int) error {
		taken, err = q.move(ctx, tx, b, n)
		return err
	})
	return b, taken, err
}

// move moves a batch, unless the pass has taken one already.
func (q *NumberingEngine) move(ctx context.Context, tx Session, b *cdc.Bounds, taken int) (int, error) {
	if q.sql.Move == nil {
		return taken, nil
	}
	taken, numbered, err := q.sql.Move(ctx, tx, b.Head)
	b.Head += uint64(numbered)
	return taken, err
}

// scanPass reads what a pass or a lock returns.
func (q *NumberingEngine) scanPass(ctx context.Context, db Querier, query string) (b cdc.Bounds, taken int, learnt string, err error) {
	var epoch, text sql.NullString
	var floor, head, rows sql.NullInt64
	err = db.QueryRowContext(ctx, q.recall(query)).Scan(&epoch, &floor, &head, &rows, &text)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !epoch.Valid {
		err = errNotLocked
	}
	b = cdc.Bounds{Epoch: epoch.String, Floor: uint64(floor.Int64), Head: uint64(head.Int64), Last: uint64(head.Int64)}
	return b, int(rows.Int64), text.String, err
}

// Bounds implements Engine: it waits for a pass that is running, because that
// one may have begun before the latest commit.
func (q *NumberingEngine) Bounds(ctx context.Context) (cdc.Bounds, error) {
	st, err := q.ReadState(ctx)
	b := st.Bounds
	if err == nil && st.Pending {
		b, _, err = q.passes(ctx)
	}
	return b, err
}

// passes numbers all that is pending, and says how much that was.
func (q *NumberingEngine) passes(ctx context.Context) (b cdc.Bounds, taken int, err error) {
	for {
		b, n, err := q.pass(ctx, true)
		taken += n
		if err != nil || n < MoveBatch {
			return b, taken, err
		}
	}
}

// lookAgain numbers what a reader believes to be pending.
func (q *NumberingEngine) lookAgain(ctx context.Context) (b cdc.Bounds, news bool, err error) {
	b, taken, err := q.passes(ctx)
	return b, taken > 0, err
}

// Poll implements Engine. After a look that found something the next begins
// without asking first.
func (q *NumberingEngine) Poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	if _, news := q.pace.Latest(); !news {
		st, err := q.ReadState(ctx)
		if err != nil || !st.Pending {
			return st.Bounds, false, err
		}
	}
	err = q.pace.Look(ctx, func(ctx context.Context) (cdc.Bounds, bool, error) {
		b, taken, err := q.pass(ctx, false)
		return b, taken > 0, err
	})
	if errors.Is(err, errNotLocked) {
		st, err := q.ReadState(ctx)
		return st.Bounds, true, err
	}
	b, busy = q.pace.Latest()
	return b, busy, err
}

// Read implements Engine: it numbers what is pending only if there is nothing else to return: a
// reader under load comes back anyway.
func (q *NumberingEngine) Read(ctx context.Context, a Ask) (cdc.Page, error) {
	after := a.After
	if !q.pace.Found(after) {
		p, err := q.Query(ctx, a)
		if err != nil {
			return cdc.Page{}, err
		}
		if !p.State.Pending || !p.Stale(after) {
			return p.Page(after)
		}
	}
	if err := q.pace.Look(ctx, q.lookAgain); err != nil {
		return cdc.Page{}, err
	}
	p, err := q.Query(ctx, a)
	if err != nil {
		return cdc.Page{}, err
	}
	return p.Page(after)
}

// Append implements Engine.
func (q *NumberingEngine) Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if len(events) == 0 {
		st, err := q.ReadState(ctx)
		return cdc.Receipt{Epoch: st.Bounds.Epoch}, err
	}
	return q.group.Append(ctx, events)
}

// appendAll adds the events of several appends. It numbers what is in the inbox
// first, because that was committed before.
func (q *NumberingEngine) appendAll(ctx context.Context, join func() Batch) (receipts []cdc.Receipt, err error) {
	for {
		more := false
		_, err := q.withHead(ctx, q.sql.Pass, func(tx Session, b *cdc.Bounds, taken int) error {
			taken, err := q.move(ctx, tx, b, taken)
			if more = taken == MoveBatch; err != nil || more {
				return err
			}
			receipts, err = q.place(ctx, tx, b, join())
			return err
		})
		if err != nil || !more {
			return receipts, err
		}
	}
}

// place adds the events above b.Head and raises it.
func (q *NumberingEngine) place(ctx context.Context, tx Session, b *cdc.Bounds, batch Batch) ([]cdc.Receipt, error) {
	a, err := q.Adding(ctx, tx, batch.Events)
	if err != nil {
		return nil, err
	}
	seqs := make([]uint64, len(a.Events))
	for i := range seqs {
		b.Head++
		seqs[i] = b.Head
	}
	return a.Receipts(b.Epoch, seqs, batch.Ends), q.insert(ctx, tx, q.Settings.Names.Log, a.Events, seqs)
}

// AppendTx implements Engine.
func (q *NumberingEngine) AppendTx(ctx context.Context, tx Tx, events []cdc.Event) error {
	return q.AppendTo(ctx, tx, q.Settings.Names.Inbox, events)
}

// Trim implements Engine.
func (q *NumberingEngine) Trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	n := q.Settings.Names
	_, err = q.withHead(ctx, q.sql.Lock, func(tx Session, b *cdc.Bounds, _ int) error {
		to := min(seq, b.Head, b.Floor+TrimBatch) // seqs are dense
		if to <= b.Floor {
			return nil
		}
		res, err := tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE seq <= %d", n.Log, to))
		if err != nil {
			return err
		}
		deleted, err := res.RowsAffected()
		if err != nil {
			return err
		}
		removed, more = int(deleted), to < min(seq, b.Head)
		_, err = tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET floor = %d WHERE one = 1", n.Head, to))
		return err
	})
	if err != nil {
		removed = 0
	}
	return removed, more, err
}

// State implements Engine.
func (q *NumberingEngine) State(ctx context.Context) (State, error) { return q.ReadState(ctx) }
