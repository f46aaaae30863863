package memlog

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Options of a [Log]; nil means the defaults.
type Options struct {
	// MaxEventBytes is the largest event accepted, as counted by
	// [cdc.Event.Size]. 0 means [cdc.DefaultMaxEventBytes].
	MaxEventBytes int

	// Buffer is how many events a subscription holds before it lags. 0 means 256.
	Buffer int
}

// Log is a log in memory. All its methods may be called concurrently. Use [New].
type Log struct {
	maxEventBytes int
	buffer        int

	mu     sync.Mutex
	bounds cdc.Bounds
	events []cdc.Event       // stable, in order, above the floor; never overwritten in place
	ids    map[string]uint64 // ID → seq of the committed events above the floor
	open   []*Tx             // undecided or blocked by an older undecided one, in order of their seqs
	subs   map[*subscription]struct{}
	closed bool
}

var (
	_ cdc.Log          = (*Log)(nil)
	_ cdc.Appender     = (*Log)(nil)
	_ cdc.Trimmer      = (*Log)(nil)
	_ cdc.Renewer      = (*Log)(nil)
	_ cdc.FilterReader = (*Log)(nil)
)

// New returns an empty log with a new epoch.
func New(opts *Options) *Log {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Buffer <= 0 {
		o.Buffer = 256
	}
	return &Log{
		maxEventBytes: o.MaxEventBytes,
		buffer:        o.Buffer,
		bounds:        cdc.Bounds{Epoch: cdc.NewEpoch()},
		ids:           map[string]uint64{},
		subs:          map[*subscription]struct{}{},
	}
}

// Close ends every subscription; what is called later returns [cdc.ErrClosed].
// It is idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for s := range l.subs {
		s.fail(cdc.ErrClosed)
	}
	return nil
}

// enter locks the log for one call; the caller unlocks it if the error is nil.
func (l *Log) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return cdc.ErrClosed
	}
	return nil
}

// Bounds implements [cdc.Source].
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if err := l.enter(ctx); err != nil {
		return cdc.Bounds{}, err
	}
	defer l.mu.Unlock()
	return l.bounds, nil
}

// Read implements [cdc.Source].
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return l.ReadFiltered(ctx, after, limit, cdc.Filter{})
}

// ReadFiltered implements [cdc.FilterReader].
func (l *Log) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	if err := l.enter(ctx); err != nil {
		return cdc.Page{}, err
	}
	defer l.mu.Unlock()
	if err := l.bounds.Check(after); err != nil {
		return cdc.Page{}, err
	}
	i := l.search(after.Seq)
	if err := l.bounds.CheckTag(after, l.at(i-1, after.Seq)); err != nil {
		return cdc.Page{}, err
	}

	page := cdc.Page{Next: max(after.Seq, l.bounds.Head)}
	for size := 0; i < len(l.events); i++ {
		e := l.events[i]
		if !f.Match(e) {
			continue
		}
		if len(page.Events) == max(limit, 1) || size >= cdc.PageBytes {
			page.Next = l.events[i-1].Seq
			break
		}
		page.Events = append(page.Events, e)
		size += e.Size()
	}
	return page, nil
}

// search returns the index of the first event above seq.
func (l *Log) search(seq uint64) int {
	return sort.Search(len(l.events), func(i int) bool { return l.events[i].Seq > seq })
}

// at returns the event at index i if it has that seq.
func (l *Log) at(i int, seq uint64) *cdc.Event {
	if i < 0 || l.events[i].Seq != seq {
		return nil
	}
	return &l.events[i]
}

// Append implements [cdc.Appender]: a transaction of one call.
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	if err := cdc.CheckAppend(events, l.maxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	if err := l.enter(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer l.mu.Unlock()
	tx := &Tx{log: l}
	receipt := tx.add(events)
	tx.committed = true
	l.decide(tx)
	return receipt, nil
}

// Trim implements [cdc.Trimmer].
func (l *Log) Trim(ctx context.Context, seq uint64) (int, error) {
	if err := l.enter(ctx); err != nil {
		return 0, err
	}
	defer l.mu.Unlock()
	seq = min(seq, l.bounds.Head)
	if seq <= l.bounds.Floor {
		return 0, nil
	}
	l.bounds.Floor = seq
	n := l.search(seq)
	for _, e := range l.events[:n] {
		delete(l.ids, e.ID)
	}
	l.events = slices.Clone(l.events[n:]) // frees the memory of the others
	return n, nil
}

// Renew implements [cdc.Renewer].
func (l *Log) Renew(ctx context.Context) (string, error) {
	if err := l.enter(ctx); err != nil {
		return "", err
	}
	defer l.mu.Unlock()
	old := l.bounds
	l.bounds.Epoch = cdc.NewEpoch()
	for s := range l.subs {
		s.fail(&cdc.ResetError{
			Reason: cdc.ReasonEpochChanged, Requested: cdc.Cursor{Epoch: old.Epoch, Seq: old.Head}.String(),
			Floor: old.Floor, Head: old.Head,
			Resume: cdc.Cursor{Epoch: l.bounds.Epoch, Seq: old.Head},
		})
	}
	return l.bounds.Epoch, nil
}

// now is the time of acceptance in the precision that every store keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
