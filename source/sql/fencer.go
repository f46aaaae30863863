package sqllog

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// saveInterval is the least time between two writes of the stable head, from
// which a process that starts later begins.
const saveInterval = time.Second

// A new fence looks so often and so far apart at the writers it meets.
const (
	meetLooks = 50
	meetPause = 5 * time.Millisecond
)

// Where transactions that draw numbers in turns never let go of each other, the
// head waits splitPause for them before it goes on and splits some, though no
// INSERT of them. Where even INSERTs never do, it splits those after the fence
// has moved splitMoves times: not after a time, because one open transaction
// may hold the fence for long, and then holds what it would hold anyway. So many
// rows below and above are searched for such: those below are about to be read
// anyway, those above are looked at for each move.
const (
	splitPause = 10 * time.Millisecond
	splitMoves = 50
	splitBelow = 5000
	splitAbove = 1000
)

// fencer is the engine of mode Fence. Its head is the highest number at or
// below the fence's that has no transaction's events on both sides. What an
// INSERT wrote is what a call of Append wrote, if that is not large.
//
// What the fence has learned is void when the server crashes, because the
// sequence may then go back over numbers that no commit has carried. So it
// listens to one connection: as long as that lives, the server has not crashed,
// and with a new one the fence begins again from the highest event that was
// read.
type fencer struct {
	*drawn
	holdersSQL, lastSQL, writtenSQL string

	pace   *pacer
	lock   chan struct{} // holds what is below; a channel, so that ctx ends waiting
	fence  *fence
	head   uint64
	whole  uint64    // at or above head: splits transactions, but no INSERT
	alone  bool      // the rows from head to the fence's are of one transaction
	moved  time.Time // when head last moved, or began to fall behind
	moves  int       // of the fence since then that found nowhere to move it to
	conn   *sqlx.Conn
	served uint64 // highest committed seq that was read up to
	on     string // the epoch and server on which it was
	saved  uint64 // of it, what the head table has
	saveAt time.Time
}

func newFencer(ctx context.Context, db *sqlx.DB, s settings) (*fencer, error) {
	// What another process has stored as stable may lie above what this one
	// knows: events and head must end at the same place.
	d, err := newDrawn(ctx, db, s, s.names.quote(s.columns.Seq)+" <= greatest("+number1+", (SELECT head FROM "+s.names.head+" WHERE one = 1))")
	if err != nil {
		return nil, err
	}
	f := &fencer{drawn: d, pace: newPacer(s.rest), lock: make(chan struct{}, 1)}
	f.restart(0)
	f.lastSQL = "SELECT " + lastOf(d.sequence)
	f.holdersSQL = "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = 'RowExclusiveLock'" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (relation = " + literal(Postgres, s.names.log) + "::regclass" +
		" OR relation IN (SELECT relid FROM pg_partition_tree(" + literal(Postgres, s.names.log) + "::regclass)))"
	seq := s.names.quote(s.columns.Seq)
	nearest := func(where, order string, limit int) string {
		return fmt.Sprintf("(SELECT %s AS seq, xmin::text AS tx, cmin::text AS command FROM %s WHERE %s ORDER BY %s LIMIT %d)", seq, s.names.log, where, order, limit)
	}
	f.writtenSQL = nearest(seq+" > "+number1+" AND "+seq+" <= "+number2, seq+" DESC", splitBelow) +
		" UNION ALL " + nearest(seq+" > "+number2, seq, splitAbove) + " ORDER BY seq"
	return f, nil
}

// acquire takes the lock.
func (f *fencer) acquire(ctx context.Context) error {
	select {
	case f.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fencer) release() { <-f.lock }

// refresh moves the head. undecided says that numbers were drawn which may
// still appear.
func (f *fencer) refresh(ctx context.Context) (head uint64, undecided bool, err error) {
	if err := f.acquire(ctx); err != nil {
		return 0, false, err
	}
	defer f.release()
	if f.conn != nil {
		return f.advance(ctx)
	}
	if err := f.begin(ctx); err != nil {
		return 0, false, err
	}
	return f.meet(ctx)
}

// advance looks once at what is decided. A sequence that went back takes along
// what was served. It must be called with the lock held and a connection.
func (f *fencer) advance(ctx context.Context) (head uint64, undecided bool, err error) {
	var last uint64
	err = f.conn.QueryRowContext(ctx, f.lastSQL).Scan(&last)
	var holders []string
	if err == nil {
		err = f.conn.SelectContext(ctx, &holders, f.holdersSQL)
	}
	if err != nil {
		f.forget()
		return 0, false, err
	}
	if last < f.fence.before {
		f.served = 0
		f.forget()
		return 0, true, nil
	}
	if err := f.raise(ctx, last, holders); err != nil {
		f.forget()
		return 0, false, err
	}
	return f.head, f.head < last, nil
}

// raise advances the fence, and moves the head to the highest number up to the
// fence's that splits no transaction, or if need be no INSERT.
func (f *fencer) raise(ctx context.Context, last uint64, holders []string) error {
	was := f.fence.stable
	stable := f.fence.advance(last, holders)
	switch {
	case stable == was && stable == last: // nothing more was drawn: what lies above was given by hand
		f.move(stable)
	case stable != was: // else all is as it was, since all up to there had been decided
		if f.head == was {
			f.moved = time.Now()
		}
		head, err := f.search(ctx, stable)
		if err != nil {
			return err
		}
		f.move(head)
		if f.moves++; !f.alone && f.whole == f.head && f.moves > splitMoves {
			f.move(stable)
		}
	}
	if !f.alone && time.Since(f.moved) > splitPause {
		f.move(f.whole)
	}
	return nil
}

// move sets the head.
func (f *fencer) move(head uint64) {
	if head > f.head {
		f.head, f.moved, f.moves = head, time.Now(), 0
	}
}

// search looks for the highest number up to stable that has no transaction's
// rows on both sides, and keeps what raise needs if that is not stable.
func (f *fencer) search(ctx context.Context, stable uint64) (head uint64, err error) {
	f.whole, f.alone = f.head, true
	for at := stable; ; {
		var rows written // nearest to at, if it is above f.head
		if err := f.conn.SelectContext(ctx, &rows, inline(f.writtenSQL, int64(f.head), int64(at))); err != nil {
			return 0, err
		}
		below, head, writers := rows.split(at, byTransaction)
		whole := head // what splits no transaction splits no INSERT
		if head < at {
			_, whole, _ = rows.split(at, byCommand)
		}
		f.whole = max(f.whole, whole)
		f.alone = f.alone && writers <= 1
		if head > 0 || below < splitBelow || !f.alone && f.whole > f.head {
			return head, nil
		}
		at = rows[0].Seq - 1
	}
}

// restart begins with a new fence from a head below which all is decided.
func (f *fencer) restart(head uint64) {
	f.fence, f.head, f.whole = newFenceAt(head), head, head
}

// begin pins a connection and starts the fence from the stored head, or from
// what was served if this is still the server on which it was.
func (f *fencer) begin(ctx context.Context) error {
	conn, err := f.db.Connx(ctx)
	if err != nil {
		return err
	}
	var head uint64
	var on string
	err = conn.QueryRowContext(ctx, "SELECT greatest(floor, head), epoch || ' ' || server FROM "+f.settings.names.head+" WHERE one = 1").Scan(&head, &on)
	if err != nil {
		_ = conn.Close() // it only goes back to the pool
		return err
	}
	if on != f.on {
		f.served = 0
	}
	f.conn = conn
	f.restart(max(head, f.served))
	return nil
}

// meet waits a moment for the writers in flight, of which a new fence knows
// nothing: until they have ended, its head is the stored one, and a reader that
// asked for the latest event would get all that came after that.
func (f *fencer) meet(ctx context.Context) (head uint64, undecided bool, err error) {
	head, undecided, err = f.advance(ctx)
	first := f.fence.before
	// A transaction that is longer holds the head back.
	for n := 1; n < meetLooks && err == nil && f.conn != nil && head < first; n++ {
		if err = sleep(ctx, meetPause); err == nil {
			head, undecided, err = f.advance(ctx)
		}
	}
	return head, undecided, err
}

// forget drops the connection and what was learned on it. It must be called
// with the lock held.
func (f *fencer) forget() {
	if f.conn != nil {
		_ = f.conn.Close() // it goes back to the pool, which tests it
		f.conn = nil
	}
	f.restart(f.served)
}

// note keeps the highest head that was seen, and stores it now and then.
func (f *fencer) note(ctx context.Context, st state) error {
	if err := f.acquire(ctx); err != nil {
		return err
	}
	defer f.release()
	if on := st.bounds.Epoch + " " + st.stored; on != f.on {
		f.on, f.served, f.saved = on, 0, 0
	}
	f.served = max(f.served, st.bounds.Head)
	if f.served == f.saved || time.Since(f.saveAt) < saveInterval {
		return nil
	}
	f.saveAt = time.Now()
	_, err := f.db.ExecContext(ctx, "UPDATE "+f.settings.names.head+" SET head = $1 WHERE one = 1 AND head < $1", int64(f.served))
	if err == nil {
		f.saved = f.served
	}
	return err
}

// peek implements engine; it does not move the head.
func (f *fencer) peek(ctx context.Context) (state, error) {
	if err := f.acquire(ctx); err != nil {
		return state{}, err
	}
	head := f.head
	f.release()
	return f.store.peek(ctx, int64(head))
}

func (f *fencer) poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	busy = true // if another reader looks
	err = f.pace.look(ctx, func(ctx context.Context) (b cdc.Bounds, news bool, err error) {
		before, _ := f.pace.latest()
		b, busy, err = f.observe(ctx)
		return b, b.Head != before.Head, err
	})
	b, _ = f.pace.latest()
	return b, busy, err
}

func (f *fencer) settle(ctx context.Context) (cdc.Bounds, error) {
	b, _, err := f.observe(ctx)
	return b, err
}

// observe moves the head and reads the bounds that follow from it.
func (f *fencer) observe(ctx context.Context) (b cdc.Bounds, undecided bool, err error) {
	head, undecided, err := f.refresh(ctx)
	if err != nil {
		return b, false, err
	}
	st, err := f.store.peek(ctx, int64(head))
	if err == nil {
		err = f.note(ctx, st)
	}
	return st.bounds, undecided, err
}

// read serves what lies below the known head at once, and moves it only if
// that is nothing: a reader under load comes back anyway.
func (f *fencer) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	var p rowPage
	var err error
	if !f.pace.found(after) {
		p, err = f.known(ctx, after, limit)
	}
	if err == nil && p.stale(after) {
		p, err = f.readAgain(ctx, after, limit)
	}
	if err == nil {
		err = f.note(ctx, p.state)
	}
	if err != nil {
		return cdc.Page{}, err
	}
	return p.page(after)
}

// known reads what lies below the known head.
func (f *fencer) known(ctx context.Context, after cdc.Cursor, limit int) (rowPage, error) {
	if err := f.acquire(ctx); err != nil {
		return rowPage{}, err
	}
	head := f.head
	f.release()
	return f.query(ctx, after, limit, int64(head))
}

// readAgain moves the head, or lets another reader do it, and reads.
func (f *fencer) readAgain(ctx context.Context, after cdc.Cursor, limit int) (p rowPage, err error) {
	looked := false
	err = f.pace.look(ctx, func(ctx context.Context) (b cdc.Bounds, news bool, err error) {
		looked = true
		head, _, err := f.refresh(ctx)
		if err == nil {
			p, err = f.query(ctx, after, limit, int64(head))
		}
		return p.state.bounds, len(p.events) > 0, err
	})
	if err != nil || looked {
		return p, err
	}
	return f.known(ctx, after, limit)
}

func (f *fencer) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	return f.appendDrawn(ctx, events, "", "")
}

func (f *fencer) appendTx(ctx context.Context, tx Tx, events []cdc.Event) error {
	return f.insert(ctx, tx, f.settings.names.log, events, nil)
}

func (f *fencer) trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	b, err := f.settle(ctx)
	if err != nil {
		return 0, false, err
	}
	return f.trimDrawn(ctx, min(seq, b.Head))
}

func (f *fencer) renew(ctx context.Context) (string, error) { return f.setEpoch(ctx) }

func (f *fencer) close() error {
	f.lock <- struct{}{}
	defer f.release()
	f.forget()
	return nil
}
