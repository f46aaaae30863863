package trial

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A case in a bubble is given up that makes no call during stuckAfter looks of
// its watchdog: time that it waits for passes in no time there. A process that
// gets no processor looks less often.
const (
	stuckAfter = 10
	lookEvery  = time.Second // of real time
)

// inBubble runs the trial in virtual time. A watchdog in real time stands
// outside: virtual time stands still while anybody spins or waits for a mutex.
// What spins goes on when its case was given up, for nothing can end it.
func inBubble(t *testing.T, limit time.Duration, start func(context.Context) *Trial) Result {
	var running atomic.Pointer[Trial]
	done := make(chan Result, 1)
	go func() {
		finished := false
		defer func() {
			switch p := recover(); {
			case finished:
			case running.Load() == nil:
				panic(p) // of the machinery
			default:
				tr := running.Load()
				tr.NoteFault(fmt.Errorf("the case left goroutines that wait for ever: %v", p))
				done <- tr.result()
			}
		}()
		var r Result
		synctest.Test(t, func(t *testing.T) {
			tr := start(t.Context())
			running.Store(tr)
			r = tr.Execute()
		})
		finished = true
		done <- r
	}()
	return watchBubble(done, &running, limit)
}

// watchBubble waits for the result, and gives the trial up when it makes no
// progress or takes longer than the limit.
func watchBubble(done <-chan Result, running *atomic.Pointer[Trial], limit time.Duration) Result {
	begin, ticker := time.Now(), time.NewTicker(lookEvery)
	defer ticker.Stop()
	moved, steps, still := begin, 0, 0
	for {
		select {
		case r := <-done:
			return r
		case now := <-ticker.C:
			tr := running.Load()
			if tr == nil {
				continue
			}
			still++
			tr.looks.Add(1)
			if n := tr.steps(); n != steps {
				moved, steps, still = now, n, 0
			}
			if still < stuckAfter && now.Sub(begin) < limit {
				continue
			}
			tr.giveUp(fmt.Errorf("%w: no call was made for %v of real time, of %v in all. Virtual time stands still while anybody spins or waits for a mutex: set Bubble to false if your store has to. Where it stands:\n%s",
				errStuck, now.Sub(moved).Round(time.Second), now.Sub(begin).Round(time.Second), goroutinesWith(tr.label)))
			return tr.result()
		}
	}
}

// SleepLong sleeps in virtual time, shorter if the trial takes seconds: the
// store may have a ticker, which ticks all the while.
func (t *Trial) SleepLong(d time.Duration) {
	const step, most = time.Hour, 2 // looks of the watchdog
	for ; d > 0; d -= step {
		time.Sleep(min(d, step))
		if t.looks.Load() >= most {
			return
		}
	}
}

// steps counts what the trial has done: it stands still while nothing happens.
func (t *Trial) steps() int {
	t.calls.mu.Lock()
	defer t.calls.mu.Unlock()
	return t.calls.calls + int(t.checks.Load()+t.moves.Load())
}
