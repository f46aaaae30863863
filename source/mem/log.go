package memlog

import (
	"context"
	"math"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// Log is a log in memory. All its methods may be called concurrently. Use [New].
type Log struct {
	buffer int

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
	if o.Buffer == 0 {
		o.Buffer = 256
	}
	return &Log{
		buffer: int(min(o.Buffer, math.MaxInt)),
		bounds: cdc.Bounds{Epoch: cdc.NewEpoch()},
		ids:    map[string]uint64{},
		subs:   map[*subscription]struct{}{},
	}
}

// String names the kind of store.
func (l *Log) String() string { return "memory" }

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
