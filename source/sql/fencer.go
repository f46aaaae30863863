package sqllog

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
)

// saveInterval is the least time between two writes of the stable head, from
// which a process that starts later begins.
const saveInterval = time.Second

// fencer is the engine of mode Fence.
//
// What the fence has learned is void when the server crashes, because the
// sequence may then go back over numbers that no commit has carried. So it
// listens to one connection: as long as that lives, the server has not crashed,
// and with a new one the fence begins again from the highest event that was
// read.
type fencer struct {
	*drawn
	holdersSQL, lastSQL string

	lock   chan struct{} // holds what is below; a channel, so that ctx ends waiting
	fence  *fence
	conn   *sqlx.Conn
	served uint64 // highest committed seq that was read up to
	on     string // the epoch and server on which it was
	saved  uint64 // of it, what the head table has
	saveAt time.Time
}

func newFencer(ctx context.Context, db *sqlx.DB, s settings) (*fencer, error) {
	// What another process has stored as stable may lie above what this one
	// knows: events and head must end at the same place.
	d, err := newDrawn(ctx, db, s, "SEQ <= greatest($1, (SELECT head FROM "+s.names.head+" WHERE one = 1))")
	if err != nil {
		return nil, err
	}
	f := &fencer{drawn: d, lock: make(chan struct{}, 1), fence: newFenceAt(0)}
	f.lastSQL = "SELECT " + lastOf(d.sequence)
	f.holdersSQL = "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = 'RowExclusiveLock'" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (relation = " + literal(Postgres, s.names.log) + "::regclass" +
		" OR relation IN (SELECT relid FROM pg_partition_tree(" + literal(Postgres, s.names.log) + "::regclass)))"
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

// refresh advances the fence. undecided says that numbers were drawn which may
// still appear.
func (f *fencer) refresh(ctx context.Context) (stable uint64, undecided bool, err error) {
	if err := f.acquire(ctx); err != nil {
		return 0, false, err
	}
	defer f.release()
	if f.conn == nil {
		if err := f.begin(ctx); err != nil {
			return 0, false, err
		}
	}
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
	if last < f.fence.before { // the sequence went back, and what was served with it
		f.served = 0
		f.forget()
		return 0, true, nil
	}
	stable = f.fence.advance(last, holders)
	return stable, stable < last, nil
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
	f.conn, f.fence = conn, newFenceAt(max(head, f.served))
	return nil
}

// forget drops the connection and what was learned on it. It must be called
// with the lock held.
func (f *fencer) forget() {
	if f.conn != nil {
		_ = f.conn.Close() // it goes back to the pool, which tests it
		f.conn = nil
	}
	f.fence = newFenceAt(f.served)
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

// peek implements engine; it does not move the fence.
func (f *fencer) peek(ctx context.Context) (state, error) {
	if err := f.acquire(ctx); err != nil {
		return state{}, err
	}
	stable := f.fence.stable
	f.release()
	return f.store.peek(ctx, int64(stable))
}

func (f *fencer) poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	stable, undecided, err := f.refresh(ctx)
	if err != nil {
		return b, false, err
	}
	st, err := f.store.peek(ctx, int64(stable))
	if err == nil {
		err = f.note(ctx, st)
	}
	return st.bounds, undecided, err
}

func (f *fencer) settle(ctx context.Context) (cdc.Bounds, error) {
	b, _, err := f.poll(ctx)
	return b, err
}

// read serves what lies below the known stable head at once, and moves it only
// if that is nothing: a reader under load comes back anyway.
func (f *fencer) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if err := f.acquire(ctx); err != nil {
		return cdc.Page{}, err
	}
	known := f.fence.stable
	f.release()
	p, err := f.query(ctx, after, limit, int64(known))
	if err == nil && len(p.events) == 0 {
		stable, _, rerr := f.refresh(ctx)
		if err = rerr; err == nil {
			p, err = f.query(ctx, after, limit, int64(stable))
		}
	}
	if err == nil {
		err = f.note(ctx, p.state)
	}
	if err != nil {
		return cdc.Page{}, err
	}
	return p.page(after)
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
