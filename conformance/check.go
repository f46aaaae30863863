package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// Options of [Check]; nil means the defaults.
type Options struct {
	// Cases selects by name, as [path.Match] does for each pattern: "Handoff/*",
	// "*/*/*". A pattern without a slash is a guarantee. Empty means all.
	Cases []string

	// Patience is how long a case waits for what has to happen. 0 means 10 s.
	Patience time.Duration

	// Limit is how long one case may take before it is given up. 0 means 2 min.
	Limit time.Duration

	// Seed of what is drawn at random. 0 means a new one.
	Seed uint64

	// Dir is where the places of the cases are made. Empty means a temporary
	// folder that is removed.
	Dir string
}

func (o *Options) filled() Options {
	var p Options
	if o != nil {
		p = *o
	}
	if p.Patience <= 0 {
		p.Patience = 10 * time.Second
	}
	if p.Limit <= 0 {
		p.Limit = 2 * time.Minute
	}
	if p.Seed == 0 {
		p.Seed = rand.Uint64()
	}
	return p
}

func (o Options) selects(c Case) bool {
	return len(o.Cases) == 0 || slices.ContainsFunc(o.Cases, func(pattern string) bool {
		if !strings.Contains(pattern, "/") {
			return pattern == string(c.Guarantee)
		}
		ok, err := path.Match(pattern, c.Name())
		return ok && err == nil
	})
}

// Result is what became of one case.
type Result struct {
	Case     Case
	Skipped  string  // what the harness or the log lacks; empty if the case ran
	Faults   []error // [*Violation] or what failed in the harness; empty if the case passed
	Trace    string  // the last calls, one a line
	Seed     uint64
	Duration time.Duration
	History  *History
}

// Passed reports whether the case ran without a fault.
func (r Result) Passed() bool { return r.Skipped == "" && len(r.Faults) == 0 }

// String is the text of the failure: the promise, what was expected and seen,
// and the calls that led there.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  %s promises: %s\n", r.Case.Name(), r.Case.Sentence, r.Case.Guarantee, r.Case.Guarantee.Sentence())
	for i, err := range r.Faults {
		if i == 5 {
			fmt.Fprintf(&b, "  and %d more\n", len(r.Faults)-i)
			break
		}
		fmt.Fprintf(&b, "\n%v\n", err)
	}
	if r.Trace != "" {
		fmt.Fprintf(&b, "\n  calls:\n    %s\n", r.Trace)
	}
	fmt.Fprintf(&b, "\n  seed %d", r.Seed)
	return b.String()
}

// Report is what [Check] found.
type Report struct{ Results []Result }

// Failed returns the cases that failed.
func (r Report) Failed() []Result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(r Result) bool { return len(r.Faults) == 0 })
}

// Err is nil if no case failed, otherwise the texts of those that did.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Failed() {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

// Check runs the cases in real time, one after the other, each under a
// watchdog. It is [Run] without a testing.T: for soaks, for mutants, and for
// programs that want to look at a store where it stands. What a case that was
// given up had started goes on.
func Check(ctx context.Context, h Harness, opts *Options) Report {
	return check(ctx, opts, Cases(), func(ctx context.Context, c Case, o Options) Result {
		return newTrial(ctx, c, h, o).watch()
	})
}

func check(ctx context.Context, opts *Options, cases []Case, run func(context.Context, Case, Options) Result) Report {
	o := opts.filled()
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "conformance-")
		if err != nil {
			return Report{Results: []Result{{Faults: []error{err}}}}
		}
		o.Dir = dir
		defer func() { _ = os.RemoveAll(dir) }()
	}
	var report Report
	for _, c := range cases {
		if ctx.Err() != nil {
			break
		}
		if o.selects(c) {
			report.Results = append(report.Results, run(ctx, c, o))
		}
	}
	return report
}

// watch runs the case on a goroutine of its own and gives it up after
// Options.Limit.
func (t *trial) watch() Result {
	done := make(chan Result, 1)
	go func() { done <- t.execute() }()
	timer := time.NewTimer(t.opts.Limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r
	case <-timer.C:
		t.giveUp(fmt.Errorf("%w within %v", errStuck, t.opts.Limit))
		return t.result()
	}
}

var errStuck = errors.New("the case did not end: something blocks or spins that no context and no Close ends")

func newTrial(ctx context.Context, c Case, h Harness, o Options) *trial {
	return &trial{
		ctx: ctx, h: h, c: c, opts: o, root: o.Dir,
		rng:     rand.New(rand.NewPCG(o.Seed, 0)),
		history: &verify.History{},
	}
}

// execute runs the case to its end, with everything that it started.
func (t *trial) execute() Result {
	if lacks := t.c.lacks(t.h); lacks != "" {
		t.skip = "the harness has no " + lacks
		return t.result()
	}
	begin := time.Now()
	ctx, cancel := context.WithCancel(t.ctx)
	t.ctx = ctx
	stop := t.labelled()
	t.guarded(func() { t.c.run(t) })
	t.guarded(t.stopStreams)
	if !t.failed() && t.skip == "" {
		t.guarded(t.judge)
	}
	cancel()
	t.guarded(t.closeAll)
	t.endBesides()
	stop()
	if t.exercise.Load() == 0 && !t.failed() && t.skip == "" {
		t.add(errors.New("the case looked at nothing: it proves nothing"))
	}
	r := t.result()
	r.Duration = time.Since(begin)
	return r
}

// judge asks the judge about what was recorded, once.
func (t *trial) judge() {
	if t.judged {
		return
	}
	t.judged = true
	for _, v := range verify.Verify(t.history) {
		t.add(v)
	}
}

func (t *trial) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Result{Case: t.c, Skipped: t.skip, Faults: slices.Clone(t.faults), Seed: t.opts.Seed, History: t.history}
	if t.givenUp {
		r.History = nil
	}
	if len(r.Faults) > 0 {
		r.Skipped, r.Trace = "", t.trace.String()
	}
	return r
}

// guarded runs f; a panic other than the end of the case is a fault.
func (t *trial) guarded(f func()) {
	defer func() {
		switch r := recover(); r {
		case nil, ended{}:
		default:
			t.add(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	f()
}

// closeAll closes what was opened, last first.
func (t *trial) closeAll() {
	for _, c := range slices.Backward(t.closers) {
		t.finite(verify.Contained, "Close", func() { _ = c() })
	}
}

var places atomic.Uint64

// placeNumber makes the names of places differ within a process.
func placeNumber() uint64 { return places.Add(1) }
