package trial

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Tap is a log between a reader and the log under test. It counts and traces
// the calls, checks what comes back, and does things before the k-th call: so
// that a race that chance would find in one of a million runs happens in the
// one that tries it.
type Tap struct {
	cdc.Log
	t *Trial

	mu     sync.Mutex
	calls  int
	before map[int]func() // what to do before a call
	lag    bool           // the next result of Next is dropped, as by a full buffer
	end    error          // the next result of Next is this error, and final
	forced chan struct{}  // closed when lag or end was delivered
	inNext int            // calls of Next under way
	spun   error          // a Next never waited: no later one is made
}

// filterTap is a tap on a log that filters by itself.
type filterTap struct{ *Tap }

// Tapped puts a tap on the log. The log that is returned is for the reader.
func (t *Trial) Tapped(log cdc.Log) (*Tap, cdc.Log) {
	p := &Tap{Log: log, t: t, before: map[int]func(){}, forced: make(chan struct{})}
	if _, ok := p.Log.(cdc.FilterReader); ok {
		return p, &filterTap{p}
	}
	return p, p
}

// Untapped returns the log below every tap.
func Untapped(log cdc.Log) cdc.Log {
	for {
		switch l := log.(type) {
		case *Tap:
			log = l.Log
		case *filterTap:
			log = l.Log
		default:
			return log
		}
	}
}

// Unwrap makes the capabilities of the log reachable.
func (p *Tap) Unwrap() cdc.Log { return p.Log }

// Before does f before the k-th call from now on.
func (p *Tap) Before(k int, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before[p.calls+k] = f
}

// Fired reports whether everything was done.
func (p *Tap) Fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.before) == 0
}

func (p *Tap) call() {
	p.mu.Lock()
	p.calls++
	f := p.before[p.calls]
	delete(p.before, p.calls)
	p.mu.Unlock()
	if f != nil {
		f()
	}
}

// ForceLag makes the next result of a subscription a lag.
func (p *Tap) ForceLag() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag, p.forced = true, make(chan struct{})
}

// ForceEnd makes the next result of a subscription a final error.
func (p *Tap) ForceEnd(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end, p.forced = err, make(chan struct{})
}

// Forced is closed when what was forced has happened.
func (p *Tap) Forced() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forced
}

// WasForced reports whether what was forced has happened.
func (p *Tap) WasForced() bool {
	select {
	case <-p.Forced():
		return true
	default:
		return false
	}
}

// Bounds implements [cdc.Source].
func (p *Tap) Bounds(ctx context.Context) (cdc.Bounds, error) {
	p.call()
	b, err := p.Log.Bounds(ctx)
	p.t.Trace("Bounds → floor %d head %d last %d %s", b.Floor, b.Head, b.Last, ErrText(err))
	return b, err
}

// Read implements [cdc.Source].
func (p *Tap) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	p.call()
	page, err := p.Log.Read(ctx, after, limit)
	p.t.Trace("Read after %s limit %d → %s", CursorText(after), limit, PageText(page, err))
	p.check(page, after, limit, err)
	return page, err
}

func (p *filterTap) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	p.call()
	page, err := p.Log.(cdc.FilterReader).ReadFiltered(ctx, after, limit, f)
	p.t.Trace("ReadFiltered after %s limit %d → %s", CursorText(after), limit, PageText(page, err))
	p.check(page, after, limit, err)
	return page, err
}

func (p *Tap) check(page cdc.Page, after cdc.Cursor, limit int, err error) {
	if err != nil {
		return
	}
	p.t.Checked()
	if problem := verify.CheckPage(page, after, limit); problem != "" {
		p.t.Note(verify.Reliable, "Read after %d, limit %d: %s", after.Seq, limit, problem)
	}
}

// Subscribe implements [cdc.Subscriber].
func (p *Tap) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	p.call()
	sub, err := p.Log.Subscribe(ctx)
	p.t.Trace("Subscribe %s", ErrText(err))
	if err != nil {
		return nil, err
	}
	return &tapSubscription{Subscription: sub, tap: p}, nil
}

type tapSubscription struct {
	cdc.Subscription
	tap   *Tap
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
		p.t.Note(verify.Live, "%v", p.spun)
		return nil, p.spun
	}
	switch {
	case err != nil || !p.lag && p.end == nil:
	case p.lag:
		events, err, p.lag = nil, cdc.ErrLagged, false
		p.happened()
	default:
		events, err, s.final, p.end = nil, p.end, p.end, nil
		p.happened()
	}
	if ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
		p.t.Trace("Next → %s", NextText(events, err))
	}
	return events, err
}

// happened tells who waits for what was forced; the tap is locked.
func (p *Tap) happened() {
	select {
	case <-p.forced: // both were forced
	default:
		close(p.forced)
	}
}

func (s *tapSubscription) Close() error {
	err := s.Subscription.Close()
	s.tap.t.Trace("Subscription.Close %s", ErrText(err))
	return err
}

// Clear forgets what was planned before and did not happen.
func (p *Tap) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = map[int]func(){}
}

func (p *Tap) enterNext() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spun == nil {
		p.inNext++
	}
	return p.spun
}

// Waiting reports whether a reader is in Next.
func (p *Tap) Waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inNext > 0
}
