package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// Base is what the engines have in common: the head table, pages read by one
// statement, and rows written.
type Base struct {
	DB       DB
	Settings Settings
	sizer    sizer

	StateSQL string // the state alone, in the layout of row
	PageSQL  string // the state and the events from a seq on, at most so many
	Beside   string // PageSQL with the state beside the event at that seq, and without it if there is no such event; empty: there is only PageSQL
	Now      string // expression: the time as the log's column stores it

	Dense      bool   // the log's seqs have no holes, so that one shows rows which somebody else has removed
	OnConflict string // ends an INSERT of events with IDs, see [OnConflict]

	// Select reads events where a condition holds, in no order, below what
	// Number1 stands for where the dialect has that. Topics reads at most limit
	// events of the topics from a seq on, the lowest; nil: it cannot.
	Select func(where string) string
	Topics func(topics []string, from int64, limit int) string

	Memory Memory // of what a pass has found; nil: there is none

	Kept *Statements // of StateSQL and PageSQL; nil: they are run with their numbers inline

	// Rewound is called when the store shows that it went back, or is another
	// one than it was: it begins a new epoch.
	Rewound func(ctx context.Context, s State) error
}

// ReadState reads the state alone.
func (t *Base) ReadState(ctx context.Context, args ...int64) (State, error) {
	for {
		rows, err := t.rows(ctx, t.StateSQL, args...)
		if err != nil {
			return State{}, err
		}
		p, err := t.sizer.collect(rows, 0, 1, 1)
		if err != nil {
			return State{}, err
		}
		if renewed, err := t.checkServer(ctx, p.State); err != nil || !renewed {
			return p.State, err
		}
	}
}

// Query reads the page above after in one statement; args are those of the
// statement that come before its seq and limit.
func (t *Base) Query(ctx context.Context, a Ask, args ...int64) (RowPage, error) {
	after, limit := a.After, a.Limit
	from, asked := ClampSeq(after.Seq), t.sizer.rows(limit)
	extra := 1 // the event at the cursor, for its tag
	if after.Tag == "" {
		extra, from = 0, ClampSeq(from+1)
	}
	args = append(args, int64(from), int64(asked+extra))
	collect := func(query string) (RowPage, error) {
		rows, err := t.rows(ctx, query, args...)
		if err != nil {
			return RowPage{}, err
		}
		return t.sizer.collect(rows, after.Seq, asked, limit)
	}
	read := func() (RowPage, error) {
		if t.Beside != "" {
			if p, err := collect(t.Beside); !errors.Is(err, ErrNoHead) {
				return p, err
			}
		}
		return collect(t.PageSQL)
	}
	if a.Topics != nil {
		read = func() (RowPage, error) { return t.readTopics(ctx, a, asked, args...) }
	}
	for {
		p, err := read()
		if err != nil {
			return RowPage{}, err
		}
		again, err := t.checkServer(ctx, p.State)
		if err == nil && !again && t.Dense {
			again, err = t.checkHoles(ctx, p, after.Seq)
		}
		if err != nil || !again {
			return p, err
		}
	}
}

// checkHoles raises the floor above the rows that somebody else has removed,
// by TRUNCATE for instance: a reader must be told.
func (t *Base) checkHoles(ctx context.Context, p RowPage, after uint64) (found bool, err error) {
	hole := p.hole(after)
	if hole == 0 {
		return false, nil
	}
	_, err = t.DB.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET floor = %d WHERE one = 1 AND epoch = %s AND floor < %[2]d", t.Settings.Names.Head, hole, t.param(1)), p.State.Bounds.Epoch)
	return true, err
}

// hole is the highest seq that the page of a dense log should have and has
// not; 0: there is none.
func (p RowPage) hole(after uint64) uint64 {
	b, hole := p.State.Bounds, uint64(0)
	if after < b.Floor || after > b.Head { // the cursor is an error
		return 0
	}
	if p.byTopic {
		return p.holeAtEnds(after)
	}
	last := after
	for _, e := range p.Events {
		if e.Seq != last+1 {
			hole = e.Seq - 1
		}
		last = e.Seq
	}
	if !p.Full && last < b.Head {
		hole = b.Head
	}
	return hole
}

// Stale reports whether a reader should look for what is new: there is nothing
// to return, or an error that names the bounds.
func (p RowPage) Stale(after cdc.Cursor) bool {
	return len(p.Events) == 0 && (!p.byTopic || p.State.Bounds.Head <= after.Seq) || p.State.Bounds.Check(after) != nil
}

// Page judges the cursor in the view that the page was read in.
func (p RowPage) Page(after cdc.Cursor) (cdc.Page, error) {
	b := p.State.Bounds
	if err := b.Check(after); err != nil {
		return cdc.Page{}, err
	}
	if err := b.CheckTag(after, p.At); err != nil {
		return cdc.Page{}, err
	}
	next := max(after.Seq, b.Head)
	if p.Full {
		next = p.Events[len(p.Events)-1].Seq
	}
	page := cdc.Page{Events: p.Events, Next: next}
	if p.Top != nil && p.Top.Seq == next {
		page.Tag = p.Top.Tag()
	}
	return page, nil
}

// param is the placeholder of the nth argument.
func (t *Base) param(n int) string { return t.Settings.Dialect.Syntax.Param(n) }

// checkServer compares the server with the one that the head table was last
// used on. A copy, or the survivor of a failover, may have lost commits that
// were already read, so it begins a new epoch.
func (t *Base) checkServer(ctx context.Context, s State) (renewed bool, err error) {
	switch s.Current {
	case s.Stored:
		return false, nil
	case ReplicaServer:
		return false, errReplica
	}
	return true, t.Rewound(ctx, s)
}

// NewServer is Rewound for a store whose server has an identity. Of several
// processes one wins.
func (t *Base) NewServer(ctx context.Context, s State) error {
	_, err := t.DB.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET epoch = %s, server = %s WHERE one = 1 AND server = %s", t.Settings.Names.Head, t.param(1), t.param(2), t.param(3)),
		cdc.NewEpoch(), s.Current, s.Stored)
	return err
}

// SetEpoch gives the head table a new epoch.
func (t *Base) SetEpoch(ctx context.Context, tx Tx) (string, error) {
	epoch := cdc.NewEpoch()
	res, err := tx.ExecContext(ctx, "UPDATE "+t.Settings.Names.Head+" SET epoch = "+t.param(1)+" WHERE one = 1", epoch)
	if err != nil {
		return "", err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return "", ErrNoHead
	}
	return epoch, nil
}

// Assist implements Engine.
func (t *Base) Assist(context.Context, *Feed) {}

// Close implements Engine.
func (t *Base) Close() error { return nil }

// AppendTo adds the events to a table that has our columns and draws the seq
// itself.
func (t *Base) AppendTo(ctx context.Context, tx Tx, table string, events []cdc.Event) error {
	return t.insert(ctx, tx, table, events, nil)
}

// Renew implements Engine. A server goes on with a statement whose context has
// ended; in a transaction it has no effect then that nobody is told of.
func (t *Base) Renew(ctx context.Context) (epoch string, err error) {
	err = ReadCommitted(ctx, t.DB, func(tx Session) error {
		epoch, err = t.SetEpoch(ctx, tx)
		return err
	})
	return epoch, err
}

// ClampSeq keeps a seq within the databases' signed 64 bits.
func ClampSeq(seq uint64) uint64 { return min(seq, 1<<63-1) }

var (
	// ErrNoHead says that the head table has no row.
	ErrNoHead  = errors.New("the head table has no row: it is not the table of a log, or somebody emptied it; run EnsureSchema")
	errReplica = errors.New("the server is a replica: a log can only be read on the primary")
)
