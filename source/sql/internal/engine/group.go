package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

const (
	// One shared transaction takes at most about this much, so that the first
	// caller in it does not wait for ever more to join.
	groupEvents = 1000
	groupBytes  = 4 << 20

	// groupPatience is how long appends wait for the transaction before theirs:
	// its connection may be half-open.
	groupPatience = time.Second
)

// Batch are the events of appends that share a transaction.
type Batch struct {
	Events []cdc.Event
	Ends   []int // where in Events each append ends
}

// OneAppend is a batch of one.
func OneAppend(events []cdc.Event) Batch { return Batch{Events: events, Ends: []int{len(events)}} }

// Group makes appends that would wait for one lock share a transaction: while
// one commits, those that come wait for the next.
type Group struct {
	// transact adds the events that join returns in one transaction, and returns
	// a receipt for each append. It calls join once it has the lock: the later,
	// the more appends take part. It may call it again after a rollback.
	transact func(ctx context.Context, join func() Batch) ([]cdc.Receipt, error)

	mu      sync.Mutex
	waiting []*groupMember
	current *groupTx // whose end those that wait for; nil: none
}

// NewGroup returns the group of appends that transact commits.
func NewGroup(transact func(ctx context.Context, join func() Batch) ([]cdc.Receipt, error)) *Group {
	return &Group{transact: transact}
}

// groupMember is one append.
type groupMember struct {
	ctx    context.Context //nolint:containedctx // of the caller who waits for done
	events []cdc.Event
	bytes  int
	done   chan groupOutcome // gets one; has room for it
}

type groupOutcome struct {
	receipt cdc.Receipt
	err     error
}

// groupTx is a transaction of several appends. Its fields are guarded by
// group.mu while it is current.
type groupTx struct {
	group   *Group
	ctx     context.Context //nolint:containedctx // ends when those of all members have
	cancel  context.CancelFunc
	members []*groupMember
	batch   Batch
	bytes   int
	ended   int           // members whose context has ended
	stops   []func() bool // their watches
}

// Append adds the events in a transaction that is shared with others who append
// at this time. If ctx ends before that has begun, nothing was added. After that
// it returns when the transaction ends: the caller uses [Await].
func (g *Group) Append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	m := &groupMember{ctx: ctx, events: events, done: make(chan groupOutcome, 1)}
	for _, e := range events {
		m.bytes += e.Size()
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	if g.current == nil {
		g.begin()
	}
	g.mu.Unlock()
	select {
	case o := <-m.done:
		return o.receipt, o.err
	case <-ctx.Done():
	}
	if g.withdraw(m) {
		return cdc.Receipt{}, context.Cause(ctx)
	}
	o := <-m.done
	if o.err != nil && !errors.Is(o.err, cdc.ErrUnknownOutcome) {
		o.err = fmt.Errorf("%w: %w", context.Cause(ctx), o.err)
	}
	return o.receipt, o.err
}

// withdraw reports whether the append was still waiting, and takes it out.
func (g *Group) withdraw(m *groupMember) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == m {
			g.waiting = append(g.waiting[:i:i], g.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// begin starts a transaction of those that are waiting, of whom there is at
// least one. It must be called with mu held.
func (g *Group) begin() {
	t := &groupTx{group: g}
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(g.waiting[0].ctx))
	t.take()
	g.current = t
	go t.run() // its members wait for it
}

// end lets those that wait begin the next transaction. It is called when t has
// ended, or has lasted for too long.
func (g *Group) end(t *groupTx) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != t {
		return
	}
	g.current = nil
	if len(g.waiting) > 0 {
		g.begin()
	}
}

// take adds members from those that are waiting, as long as there is room. It
// must be called with group.mu held.
func (t *groupTx) take() {
	n := 0
	for _, m := range t.group.waiting {
		full := len(t.batch.Events)+len(m.events) > groupEvents || t.bytes+m.bytes > groupBytes
		if len(t.members) > 0 && full {
			break
		}
		n++
		t.members = append(t.members, m)
		t.bytes += m.bytes
		t.batch.Events = append(t.batch.Events, m.events...)
		t.batch.Ends = append(t.batch.Ends, len(t.batch.Events))
		t.stops = append(t.stops, context.AfterFunc(m.ctx, t.leave))
	}
	t.group.waiting = append([]*groupMember(nil), t.group.waiting[n:]...)
}

// leave is called when the context of a member ends: with the last of them the
// transaction ends as well.
func (t *groupTx) leave() {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	if t.ended++; t.ended == len(t.members) {
		t.cancel()
	}
}

// join returns the events of all members, among them those that have come since.
func (t *groupTx) join() Batch {
	t.group.mu.Lock()
	defer t.group.mu.Unlock()
	if t.group.current == t && t.ctx.Err() == nil {
		t.take()
	}
	return t.batch
}

// run commits, lets the next transaction begin, and gives each member its
// outcome.
func (t *groupTx) run() {
	defer t.cancel()
	patience := time.AfterFunc(groupPatience, func() { t.group.end(t) })
	receipts, err := t.group.transact(t.ctx, t.join)
	patience.Stop()
	t.group.end(t)
	for _, stop := range t.stops {
		stop()
	}
	alone := err != nil && len(t.members) > 1 && isRefusal(err)
	for i, m := range t.members {
		o := groupOutcome{err: err}
		switch {
		case alone:
			o = t.group.alone(m)
		case err == nil:
			o.receipt = receipts[i]
		}
		m.done <- o
	}
}

// alone appends the events of one member, after the database has refused those of
// several.
func (g *Group) alone(m *groupMember) groupOutcome {
	receipts, err := g.transact(m.ctx, func() Batch { return OneAppend(m.events) })
	if err != nil {
		return groupOutcome{err: err}
	}
	return groupOutcome{receipt: receipts[0]}
}

// isRefusal reports whether nothing was committed, and the reason may be in one
// of several events: not in the connection, the server or the context.
func isRefusal(err error) bool {
	if errors.Is(err, cdc.ErrUnknownOutcome) || errors.Is(err, context.Canceled) || isCut(err) || gaveWay(err) { // each tries again, see RetryCut
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return false
	}
	code := SQLState(err)
	return !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "53") && !strings.HasPrefix(code, "57")
}
