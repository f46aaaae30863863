package trial

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

var errStuck = errors.New("the case did not end: something blocks or spins that no context and no Close ends")

// Watch runs the case on a goroutine of its own and gives it up after
// Settings.Limit. What a case that was given up had started goes on.
func (t *Trial) Watch() Result {
	done := make(chan Result, 1)
	go func() { done <- t.Execute() }()
	timer := time.NewTimer(t.Settings.Limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r
	case <-timer.C:
		t.giveUp(fmt.Errorf("%w within %v", errStuck, t.Settings.Limit))
		return t.result()
	}
}

// Execute runs the case to its end, with everything that it started.
func (t *Trial) Execute() Result {
	begin := time.Now()
	ctx, cancel := context.WithCancel(t.Ctx)
	t.Ctx = ctx
	checkGoroutines := t.labelGoroutines()
	t.guarded(func() { t.run(t) })
	t.guarded(t.stopStreams)
	if !t.Failed() && t.skip == "" {
		t.guarded(t.judge)
	}
	cancel()
	t.guarded(t.closeAll)
	t.endBesides()
	checkGoroutines()
	if t.checks.Load() == 0 && !t.Failed() && t.skip == "" {
		t.NoteFault(errors.New("the case looked at nothing: it proves nothing"))
	}
	r := t.result()
	r.Duration = time.Since(begin)
	return r
}

// judge asks the judge about what was recorded, once.
func (t *Trial) judge() {
	if t.judged {
		return
	}
	t.judged = true
	for _, v := range verify.Verify(t.History) {
		t.NoteFault(v)
	}
}

// guarded runs f; a panic other than the end of the case is a fault.
func (t *Trial) guarded(f func()) {
	defer func() {
		switch r := recover(); r {
		case nil, caseEnded{}:
		default:
			t.NoteFault(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	f()
}

// closeAll does what AtEnd was given, last first.
func (t *Trial) closeAll() {
	for _, c := range slices.Backward(t.atEnd) {
		t.InTime(verify.Contained, "Close", func() { _ = c() })
	}
}

// giveUp reports the fault of something that goes on though the case is over.
func (t *Trial) giveUp(err error) {
	t.NoteFault(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.givenUp = true
}
