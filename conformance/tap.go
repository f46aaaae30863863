package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// tap is a log between a reader and the log under test. It counts and traces
// the calls, checks what comes back, and does things before the k-th call: so
// that a race that chance would find in one of a million runs happens in the
// one that tries it.
type tap struct {
	cdc.Log
	t *trial

	mu     sync.Mutex
	calls  int
	before map[int]func() // what to do before a call
	lag    bool           // the next result of Next is dropped, as by a full buffer
	cut    error          // the next result of Next is this error, and final
	lagged chan struct{}  // closed when lag or cut was delivered
	inNext int            // calls of Next under way
	spun   error          // a Next never waited: no later one is made
}

// filterTap is a tap on a log that filters by itself.
type filterTap struct{ *tap }

// tapped puts a tap on the log. The log that is returned is for the reader.
func (t *trial) tapped(log cdc.Log) (*tap, cdc.Log) {
	p := &tap{Log: bare(log), t: t, before: map[int]func(){}, lagged: make(chan struct{})}
	if _, ok := p.Log.(cdc.FilterReader); ok {
		return p, &filterTap{p}
	}
	return p, p
}

// Unwrap makes the capabilities of the log reachable.
func (p *tap) Unwrap() cdc.Log { return p.Log }

// at does f before the k-th call from now on.
func (p *tap) at(k int, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before[p.calls+k] = f
}

// fired reports whether everything was done.
func (p *tap) fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.before) == 0
}

func (p *tap) call() {
	p.mu.Lock()
	p.calls++
	f := p.before[p.calls]
	delete(p.before, p.calls)
	p.mu.Unlock()
	if f != nil {
		f()
	}
}

// forceLag makes the next result of a subscription a lag.
func (p *tap) forceLag() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag, p.lagged = true, make(chan struct{})
}

// forceEnd makes the next result of a subscription a final error.
func (p *tap) forceEnd(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.lagged = err, make(chan struct{})
}

// forced is closed when what was forced has happened.
func (p *tap) forced() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lagged
}

// wasForced reports whether what was forced has happened.
func (p *tap) wasForced() bool {
	select {
	case <-p.forced():
		return true
	default:
		return false
	}
}

func (p *tap) Bounds(ctx context.Context) (cdc.Bounds, error) {
	p.call()
	b, err := p.Log.Bounds(ctx)
	p.t.trace.add("Bounds → floor %d head %d last %d %s", b.Floor, b.Head, b.Last, errText(err))
	return b, err
}

func (p *tap) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	p.call()
	page, err := p.Log.Read(ctx, after, limit)
	p.t.trace.add("Read after %s limit %d → %s", shortCursor(after), limit, pageText(page, err))
	p.check(page, after, limit, err)
	return page, err
}

func (p *filterTap) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	p.call()
	page, err := p.Log.(cdc.FilterReader).ReadFiltered(ctx, after, limit, f)
	p.t.trace.add("ReadFiltered after %s limit %d → %s", shortCursor(after), limit, pageText(page, err))
	p.check(page, after, limit, err)
	return page, err
}

func (p *tap) check(page cdc.Page, after cdc.Cursor, limit int, err error) {
	if err != nil {
		return
	}
	p.t.looked()
	if problem := verify.CheckPage(page, after, limit); problem != "" {
		p.t.note(verify.Reliable, "Read after %d, limit %d: %s", after.Seq, limit, problem)
	}
}

func (p *tap) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	p.call()
	sub, err := p.Log.Subscribe(ctx)
	p.t.trace.add("Subscribe → %s", orOK(err))
	if err != nil {
		return nil, err
	}
	return &tapSubscription{Subscription: sub, tap: p}, nil
}

type tapSubscription struct {
	cdc.Subscription
	tap   *tap
	final error
	idle  int       // wake-ups since the last event or error
	since time.Time // the first of them
}

// spins reports whether wake-ups follow each other without a pause. A reader
// would never come to rest, and virtual time would stand still.
func (s *tapSubscription) spins(events []cdc.Event, err error) bool {
	if err != nil || len(events) > 0 {
		s.idle = 0
		return false
	}
	if s.idle++; s.idle == 1 {
		s.since = time.Now()
	}
	return s.idle%10_000 == 0 && time.Since(s.since) < time.Duration(s.idle)*20*time.Microsecond
}

func (s *tapSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	p := s.tap
	p.call()
	if s.final != nil {
		return nil, s.final
	}
	if err := p.enterNext(); err != nil {
		return nil, err
	}
	events, err := s.Subscription.Next(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inNext--
	if s.spins(events, err) {
		p.spun = errors.New("a Next that has nothing new has to wait: it returned 10,000 wake-ups in a row without a pause")
		p.t.note(verify.Live, "%v", p.spun)
		return nil, p.spun
	}
	switch {
	case err != nil || !p.lag && p.cut == nil:
	case p.lag:
		events, err, p.lag = nil, cdc.ErrLagged, false
		p.happened()
	default:
		events, err, s.final, p.cut = nil, p.cut, p.cut, nil
		p.happened()
	}
	if ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		p.t.trace.add("Next → %s", nextText(events, err))
	}
	return events, err
}

// happened tells who waits for what was forced; the tap is locked.
func (p *tap) happened() {
	select {
	case <-p.lagged: // both were forced
	default:
		close(p.lagged)
	}
}

func (s *tapSubscription) Close() error {
	err := s.Subscription.Close()
	s.tap.t.trace.add("Subscription.Close → %s", orOK(err))
	return err
}

func orOK(err error) string {
	if err == nil {
		return "ok"
	}
	return errText(err)
}

func nextText(events []cdc.Event, err error) string {
	switch {
	case err != nil:
		return errText(err)
	case len(events) == 0:
		return "a wake-up"
	}
	return eventsText(events)
}

// clear forgets what was planned before and did not happen.
func (p *tap) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = map[int]func(){}
}

func (p *tap) enterNext() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spun == nil {
		p.inNext++
	}
	return p.spun
}

// waiting reports whether a reader is in Next.
func (p *tap) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inNext > 0
}
