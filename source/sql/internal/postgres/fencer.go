package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/backoff"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// saveInterval is the least time between two writes of the stable head, from
// which a process that starts later begins.
const saveInterval = time.Second

// A new fence looks so often and so far apart at the writers in flight.
const (
	firstLooks = 50
	firstPause = 5 * time.Millisecond
)

// fencer is the engine of mode Fence.
//
// What the fence has learned is void when the server crashes, because the
// sequence may then go back over numbers that no commit has carried. So it
// listens to one connection: as long as that lives, the server has not crashed,
// and with a new one the fence begins again from the highest event that was
// read.
type fencer struct {
	*serial
	host                            *engine.Host
	holdersSQL, lastSQL, writtenSQL string
	pace                            *engine.Pacer

	lock  chan struct{} // holds what is below; a channel, so that ctx ends waiting
	fence *fence
	head  head
	age   uint64 // of the connection that the fence has learned on; 0: it has learned nothing

	served   uint64 // highest committed seq that was read up to
	servedBy string // the epoch and server on which it was
	saved    uint64 // of it, what the head table has
	savedAt  time.Time
}

func newFencer(ctx context.Context, host *engine.Host, s engine.Settings) (*fencer, error) {
	seq := s.Names.Quote(s.Columns.Seq)
	// What another process has stored as stable may lie above what this one
	// knows: events and head must end at the same place.
	d, err := newSerial(ctx, host.DB, s, seq+" <= greatest("+engine.Number1+", (SELECT head FROM "+s.Names.Head+" WHERE one = 1))")
	if err != nil {
		return nil, err
	}
	f := &fencer{serial: d, host: host, pace: engine.NewPacer(s.Rest), lock: make(chan struct{}, 1)}
	f.restart(0)
	f.lastSQL = "SELECT " + lastOf(d.sequence)
	f.holdersSQL = "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = 'RowExclusiveLock'" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (relation = " + literal(s.Names.Log) + "::regclass" +
		" OR relation IN (SELECT relid FROM pg_partition_tree(" + literal(s.Names.Log) + "::regclass)))"
	nearest := func(where, order string, limit int) string {
		return fmt.Sprintf("(SELECT %s AS seq, xmin::text AS tx, cmin::text AS command FROM %s WHERE %s ORDER BY %s LIMIT %d)", seq, s.Names.Log, where, order, limit)
	}
	f.writtenSQL = nearest(seq+" > "+engine.Number1+" AND "+seq+" <= "+engine.Number2, seq+" DESC", searchedBelow) +
		" UNION ALL " + nearest(seq+" > "+engine.Number2, seq, searchedAbove) + " ORDER BY seq"
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
//
// A new fence knows nothing of the writers in flight: until they have ended, its
// head is the stored one, and a reader that asked for the latest event would get
// all that came after that. So it waits a moment for them; a transaction that is
// longer holds the head back.
func (f *fencer) refresh(ctx context.Context) (seq uint64, undecided bool, err error) {
	if err := f.acquire(ctx); err != nil {
		return 0, false, err
	}
	defer f.release()
	begun, undecided, err := f.look(ctx)
	for n, first := 1, f.fence.before; begun && n < firstLooks && err == nil && f.age != 0 && f.head.seq < first; n++ {
		if err = backoff.Sleep(ctx, firstPause); err == nil {
			_, undecided, err = f.look(ctx)
		}
	}
	if err != nil || f.age == 0 {
		return 0, undecided, err
	}
	return f.head.seq, undecided, nil
}

// look looks once at what is decided. begun says that the fence had to begin
// again. It must be called with the lock held.
func (f *fencer) look(ctx context.Context) (begun, undecided bool, err error) {
	err = f.host.Kept(ctx, func(conn *sql.Conn, age uint64) (err error) {
		if begun = age != f.age; begun {
			if err = f.begin(ctx, conn); err != nil {
				return err
			}
			f.age = age
		}
		undecided, err = f.advance(ctx, conn)
		return err
	})
	if err != nil {
		f.forget()
	}
	return begun, undecided, err
}

// begin starts the fence from the stored head, or from what was served if this
// is still the server on which it was.
func (f *fencer) begin(ctx context.Context, conn *sql.Conn) error {
	var stored uint64
	var server string
	err := conn.QueryRowContext(ctx, "SELECT greatest(floor, head), epoch || ' ' || server FROM "+f.Settings.Names.Head+" WHERE one = 1").Scan(&stored, &server)
	if err != nil {
		return err
	}
	if server != f.servedBy {
		f.served = 0
	}
	f.restart(max(stored, f.served))
	return nil
}

// advance moves the fence and the head. A sequence that went back takes along
// what was served.
func (f *fencer) advance(ctx context.Context, conn *sql.Conn) (undecided bool, err error) {
	var last uint64
	if err := conn.QueryRowContext(ctx, f.lastSQL).Scan(&last); err != nil {
		return false, err
	}
	holders, err := engine.List[string](ctx, conn, f.holdersSQL)
	if err != nil {
		return false, err
	}
	if last < f.fence.before {
		f.served = 0
		f.forget()
		return true, nil
	}
	before := f.fence.stable
	stable := f.fence.advance(last, holders)
	switch {
	case stable != before: // else all is as it was, since all up to there had been decided
		err = f.head.follow(stable, func(at uint64) (written, error) { return f.near(ctx, conn, at) })
	case stable == last: // nothing more was drawn: what lies above was given by hand
		f.head = head{seq: max(f.head.seq, stable)}
	}
	return f.head.seq < last, err
}

// near reads the rows nearest to at that are above the head.
func (f *fencer) near(ctx context.Context, conn *sql.Conn, at uint64) (written, error) {
	rows, err := conn.QueryContext(ctx, engine.Inline(f.writtenSQL, int64(f.head.seq), int64(at)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	var list written
	for rows.Next() {
		var r writtenRow
		if err := rows.Scan(&r.seq, &r.tx, &r.command); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// restart begins with a new fence from a head below which all is decided.
func (f *fencer) restart(seq uint64) {
	f.fence, f.head = newFenceAt(seq), head{seq: seq}
}

// forget drops what was learned. It must be called with the lock held.
func (f *fencer) forget() {
	f.age = 0
	f.restart(f.served)
}

// note keeps the highest head that was seen, and stores it now and then.
func (f *fencer) note(ctx context.Context, st engine.State) error {
	if err := f.acquire(ctx); err != nil {
		return err
	}
	defer f.release()
	if server := st.Bounds.Epoch + " " + st.Stored; server != f.servedBy {
		f.servedBy, f.served, f.saved = server, 0, 0
	}
	f.served = max(f.served, st.Bounds.Head)
	if f.served == f.saved || time.Since(f.savedAt) < saveInterval {
		return nil
	}
	f.savedAt = time.Now()
	_, err := f.DB.ExecContext(ctx, "UPDATE "+f.Settings.Names.Head+" SET head = $1 WHERE one = 1 AND head < $1", int64(f.served))
	if err == nil {
		f.saved = f.served
	}
	return err
}

// State implements engine.Engine; it does not move the head.
func (f *fencer) State(ctx context.Context) (engine.State, error) {
	seq, err := f.current(ctx)
	if err != nil {
		return engine.State{}, err
	}
	return f.ReadState(ctx, seq)
}

// current is the head of the latest look.
func (f *fencer) current(ctx context.Context) (int64, error) {
	if err := f.acquire(ctx); err != nil {
		return 0, err
	}
	defer f.release()
	return int64(f.head.seq), nil
}

// Poll implements engine.Engine.
func (f *fencer) Poll(ctx context.Context) (b cdc.Bounds, busy bool, err error) {
	busy = true // if another reader looks
	err = f.pace.Look(ctx, func(ctx context.Context) (b cdc.Bounds, news bool, err error) {
		before, _ := f.pace.Latest()
		b, busy, err = f.observe(ctx)
		return b, b.Head != before.Head, err
	})
	b, _ = f.pace.Latest()
	return b, busy, err
}

// Bounds implements engine.Engine.
func (f *fencer) Bounds(ctx context.Context) (cdc.Bounds, error) {
	b, _, err := f.observe(ctx)
	return b, err
}

// observe moves the head and reads the bounds that follow from it.
func (f *fencer) observe(ctx context.Context) (b cdc.Bounds, undecided bool, err error) {
	seq, undecided, err := f.refresh(ctx)
	if err != nil {
		return b, false, err
	}
	st, err := f.ReadState(ctx, int64(seq))
	if err == nil {
		err = f.note(ctx, st)
	}
	return st.Bounds, undecided, err
}

// Read implements engine.Engine: it serves what lies below the head of the
// latest look at once, and looks again only if that is nothing. A reader under
// load comes back anyway.
func (f *fencer) Read(ctx context.Context, a engine.Ask) (cdc.Page, error) {
	after := a.After
	var p engine.RowPage
	var err error
	if !f.pace.Found(after) {
		p, err = f.readBelow(ctx, a)
	}
	if err == nil && p.Stale(after) {
		p, err = f.readAgain(ctx, a)
	}
	if err == nil {
		err = f.note(ctx, p.State)
	}
	if err != nil {
		return cdc.Page{}, err
	}
	return p.Page(after)
}

// readBelow reads up to the head of the latest look.
func (f *fencer) readBelow(ctx context.Context, a engine.Ask) (engine.RowPage, error) {
	seq, err := f.current(ctx)
	if err != nil {
		return engine.RowPage{}, err
	}
	return f.Query(ctx, a, seq)
}

// readAgain moves the head, or lets another reader do it, and reads.
func (f *fencer) readAgain(ctx context.Context, a engine.Ask) (p engine.RowPage, err error) {
	looked := false
	err = f.pace.Look(ctx, func(ctx context.Context) (b cdc.Bounds, news bool, err error) {
		looked = true
		seq, _, err := f.refresh(ctx)
		if err == nil {
			p, err = f.Query(ctx, a, int64(seq))
		}
		return p.State.Bounds, len(p.Events) > 0, err
	})
	if err != nil || looked {
		return p, err
	}
	return f.readBelow(ctx, a)
}

// Append implements engine.Engine. Appends wait for no lock, so they share nothing.
func (f *fencer) Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	receipts, err := f.appendSerial(ctx, func() engine.Batch { return engine.OneAppend(events) }, "", "")
	if err != nil {
		return cdc.Receipt{}, err
	}
	return receipts[0], nil
}

// AppendTx implements engine.Engine.
func (f *fencer) AppendTx(ctx context.Context, tx engine.Tx, events []cdc.Event) error {
	return f.AppendTo(ctx, tx, f.Settings.Names.Log, events)
}

// Trim implements engine.Engine.
func (f *fencer) Trim(ctx context.Context, seq uint64) (removed int, more bool, err error) {
	b, err := f.Bounds(ctx)
	if err != nil {
		return 0, false, err
	}
	return f.trimSerial(ctx, min(seq, b.Head))
}

// Assist implements engine.Engine.
func (f *fencer) Assist(ctx context.Context, feed *engine.Feed) { listen(ctx, f.DB, f.Settings, feed) }
