package conformance

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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

func (o *Options) settings() trial.Settings {
	return trial.Settings{Patience: o.Patience, Limit: o.Limit, Seed: o.Seed, Dir: o.Dir}
}

// Result is what became of one case.
type Result struct {
	Case     Case
	Skipped  string  // what the harness or the log lacks; empty if the case ran
	Faults   []error // [*verify.Violation] or what failed in the harness; empty if the case passed
	Trace    string  // the last calls, one a line
	Seed     uint64
	Duration time.Duration
	History  *verify.History
}

func resultOf(c Case, r trial.Result) Result {
	return Result{Case: c, Skipped: r.Skipped, Faults: r.Faults, Trace: r.Trace, Seed: r.Seed, Duration: r.Duration, History: r.History}
}

// Passed reports whether the case ran without a fault.
func (r Result) Passed() bool { return r.outcome() == passed }

// String is the text of the failure: the promise, what was expected and seen,
// and the calls that led there.
func (r Result) String() string {
	return trial.Result{Subject: r.Case.subject(), Faults: r.Faults, Trace: r.Trace, Seed: r.Seed}.String()
}

// Report is what [Check] found. WriteJSON and WriteHTML make a file of it.
type Report struct {
	Results  []Result
	Began    time.Time
	Duration time.Duration
}

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
	if opts == nil {
		opts = &Options{}
	}
	cases := Cases()
	start := func(ctx context.Context, i int, s trial.Settings) *trial.Trial { return cases[i].start(ctx, h, s) }
	report := Report{Began: time.Now()}
	err := trial.CheckAll(ctx, opts.settings(), namesOf(cases), opts.Cases, start, func(i int, r trial.Result) {
		report.Results = append(report.Results, resultOf(cases[i], r))
	})
	if err != nil {
		report.Results = []Result{{Faults: []error{err}}}
	}
	report.Duration = time.Since(report.Began)
	return report
}
