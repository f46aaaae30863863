// Package backoff spaces out the tries of something that fails.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits longer after each failure in a row. Its methods are not to be
// called concurrently.
type Backoff struct {
	Min time.Duration // after the first failure; it doubles with each further one
	Max time.Duration // the longest

	next time.Duration // after one more failure, without the jitter
}

// Reset is called after a success: the next wait is the first again.
func (b *Backoff) Reset() { b.next = 0 }

// Next counts a failure and returns how long to wait before the next try.
func (b *Backoff) Next() time.Duration {
	wait := min(max(b.Min, b.next), b.Max)
	b.next = 2 * wait
	return Jitter(wait)
}

// Wait counts a failure and waits. It returns the cause of ctx if that ends
// first.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Jitter returns a random time between half of d and d, so that many that
// failed together do not come back together.
func Jitter(d time.Duration) time.Duration { return d - rand.N(d/2+1) }

// Sleep waits for d. It returns the cause of ctx if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
