package trial

import (
	"context"
	"sync"
)

// Looked is a context that counts how often it is looked at, by Err or Done,
// and does something at the k-th look: so that what would happen by chance in
// the middle of a call happens wherever the call looks at its context.
type Looked struct {
	context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	looks  int
	at     int
	do     func()
	over   bool           // looks do nothing any more
	acting sync.WaitGroup // what the k-th look does
}

// AtLook returns a context that does f at the k-th look. It ends with the case.
func (t *Trial) AtLook(k int, f func()) *Looked {
	l := LookedAt(t.Ctx, k, f)
	t.AtEnd(func() error { l.cancel(); return nil })
	return l
}

// LookedAt returns a context that does f at the k-th look. It ends with ctx.
func LookedAt(ctx context.Context, k int, f func()) *Looked {
	l := &Looked{at: k, do: f}
	l.Context, l.cancel = context.WithCancel(ctx)
	return l
}

// EndsAtLook returns a context that has ended from the k-th look on.
func (t *Trial) EndsAtLook(k int) *Looked {
	l := t.AtLook(k, nil)
	l.do = l.cancel
	return l
}

// Reached reports whether the k-th look was made. It is asked after the call:
// what a driver's goroutine looks at from then on does nothing.
func (l *Looked) Reached() bool {
	l.mu.Lock()
	l.over = true
	reached := l.looks >= l.at
	l.mu.Unlock()
	l.acting.Wait()
	return reached
}

func (l *Looked) look() {
	l.mu.Lock()
	l.looks++
	now := l.looks == l.at && !l.over
	if now {
		l.acting.Add(1)
	}
	l.mu.Unlock()
	if now {
		defer l.acting.Done()
		l.do()
	}
}

// Done implements [context.Context].
func (l *Looked) Done() <-chan struct{} {
	l.look()
	return l.Context.Done()
}

// Err implements [context.Context].
func (l *Looked) Err() error {
	l.look()
	return l.Context.Err()
}
