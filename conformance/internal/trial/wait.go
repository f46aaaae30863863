package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// WithPatience returns a context for one wait.
func (t *Trial) WithPatience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Ctx, t.Settings.Patience)
}

// Eventually waits until ok returns true. It polls, so it is only for what
// nobody announces.
func (t *Trial) Eventually(g verify.Guarantee, ok func() bool, format string, args ...any) {
	ctx, cancel := t.WithPatience()
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fail(g, "not within %v: "+format, append([]any{t.Settings.Patience}, args...)...)
		case <-time.After(time.Millisecond):
		}
	}
}

// Within polls until done returns true, and reports whether it did in time.
func Within(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// InBubble reports whether time is virtual: it begins in 2000 there.
func InBubble() bool { return time.Now().Year() < 2020 }

// Breathe lets time pass in a loop that polls: virtual time stands still as
// long as anybody runs, and others may wait for it.
func Breathe() { time.Sleep(time.Microsecond) }

// Go runs f on a goroutine of its own, which ends before the case does. Any
// goroutine of the case may call it.
func (t *Trial) Go(f func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	t.mu.Lock()
	t.besides = append(t.besides, ended)
	t.mu.Unlock()
	go func() { defer close(ended); f() }()
	return ended
}

// endBesides waits for what Go has started.
func (t *Trial) endBesides() {
	t.mu.Lock()
	besides := t.besides
	t.mu.Unlock()
	for _, done := range besides {
		select {
		case <-done:
		case <-time.After(t.Settings.Patience):
			t.giveUp(&verify.Violation{Guarantee: verify.Contained, Problem: fmt.Sprintf("a call did not end within %v, though its context had and the log was closed", t.Settings.Patience)})
			return
		}
	}
}

// InTime runs f and fails if it does not return in time.
func (t *Trial) InTime(g verify.Guarantee, what string, f func()) {
	t.Wait(g, t.Go(f), what)
}

// Wait waits for done.
func (t *Trial) Wait(g verify.Guarantee, done <-chan struct{}, what string) {
	t.Checked()
	timer := time.NewTimer(t.Settings.Patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fail(g, "%s did not end within %v", what, t.Settings.Patience)
	}
}
