package engine

import (
	"context"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/backoff"
)

// Pacer makes the readers of a log and its feed share their looks at what is
// new, and rest after one that found something. A reader that follows a busy
// log reads until nothing is left, and under load something always is: it would
// ask for every few events anew, at the writers' expense.
type Pacer struct {
	rest func(cost time.Duration) time.Duration // after a look that found something; above 0
	turn chan struct{}                          // held by the one who looks; a channel, so that ctx ends waiting

	mu           sync.Mutex
	begun, ended uint64    // the latest look to begin, and to end well
	next         time.Time // no look begins before; zero: the latest found nothing
	bounds       cdc.Bounds
}

// NewPacer returns one whose readers rest after a look for as long as rest says.
func NewPacer(rest func(cost time.Duration) time.Duration) *Pacer {
	return &Pacer{rest: rest, turn: make(chan struct{}, 1)}
}

// Look runs f when it is time, unless somebody else begins one after this call
// and ends it well. f returns the bounds that it found, and whether that was
// something new.
func (p *Pacer) Look(ctx context.Context, f func(context.Context) (b cdc.Bounds, news bool, err error)) error {
	p.mu.Lock()
	came := p.begun
	p.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.turn }()
	if p.since(came) {
		return nil
	}
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.begun++
	p.mu.Unlock()
	start := time.Now()
	b, news, err := f(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.next, p.bounds = p.begun, time.Time{}, b
	if news {
		p.next = time.Now().Add(p.rest(time.Since(start)))
	}
	return nil
}

// since reports whether a look ended well that began after the one given.
func (p *Pacer) since(came uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended > came
}

// wait returns when it is time to look again.
func (p *Pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	pause := time.Until(p.next)
	p.mu.Unlock()
	if pause <= 0 {
		return nil
	}
	return backoff.Sleep(ctx, pause)
}

// Latest returns the bounds that the latest look found, and whether that was
// something new.
func (p *Pacer) Latest() (b cdc.Bounds, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bounds, !p.next.IsZero()
}

// Found reports whether the latest look found something, and the cursor is at
// the end of that: a reader there need not ask whether there is more.
func (p *Pacer) Found(at cdc.Cursor) bool {
	b, news := p.Latest()
	return news && b.Head == at.Seq && b.Epoch == at.Epoch
}
