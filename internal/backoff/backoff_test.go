package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

func TestNextDoublesUpToMax(t *testing.T) {
	b := backoff.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for range 3 {
		full := b.Min
		for n := range 200 { // also where a shift would overflow
			if got := b.Next(); got < full/2 || got > full {
				t.Fatalf("wait %d is %v, want between %v and %v", n, got, full/2, full)
			}
			full = min(2*full, b.Max)
		}
		b.Reset()
	}
}

func TestNextIsNotTheSameForAll(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		b := backoff.Backoff{Min: time.Second, Max: time.Second}
		seen[b.Next()] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 waits have %d lengths", len(seen))
	}
}

func TestJitterOfNothing(t *testing.T) {
	if got := backoff.Jitter(0); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{Min: time.Second, Max: time.Second}
		began := time.Now()
		if err := b.Wait(t.Context()); err != nil {
			t.Errorf("got the error %v", err)
		}
		if took := time.Since(began); took < time.Second/2 || took > time.Second {
			t.Errorf("waited for %v, want half a second to one", took)
		}

		why := errors.New("closed")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(why) })
		began = time.Now()
		if err := b.Wait(ctx); err != why || time.Since(began) != time.Millisecond {
			t.Errorf("got the error %v after %v, want %v after 1 ms", err, time.Since(began), why)
		}
	})
}
