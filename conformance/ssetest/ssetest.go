// Package ssetest checks a handler of server-sent events against the guarantees
// of Gapless, over real connections: what package conformance is for a
// [cdc.Log], it is for the stream that a client gets.
//
//	func TestConformance(t *testing.T) {
//		ssetest.Run(t, ssetest.Harness{Log: conformance.Harness{Open: open}, Handler: handler})
//	}
//
// [cdc.Log]: https://pkg.go.dev/github.com/gapless-go/gapless/cdc#Log
package ssetest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// Harness says how to reach a handler of server-sent events.
type Harness struct {
	// Log makes the logs that are streamed: Open, Append and Trim are used.
	Log conformance.Harness

	// Handler streams the log. A handler that is an [io.Closer] is closed when
	// the case ends.
	Handler func(ctx context.Context, log cdc.Log) (http.Handler, error)

	// Encoded is Handler with an encoder of the application. nil skips the case
	// that tries what such code may return.
	Encoded func(ctx context.Context, log cdc.Log, encode Encode) (http.Handler, error)

	// Payload returns the payload of an event's frame, to be compared with what
	// was appended. nil means the JSON envelope of Gapless: its fields data and
	// dataBase64.
	Payload func(data string) ([]byte, error)

	// Heartbeat and WriteTimeout are what the handler was set to; 0 skips the
	// cases that wait for them. Make both short.
	Heartbeat, WriteTimeout time.Duration
}

// testCase is a case and how it is run.
type testCase struct {
	conformance.Case
	run func(*test)
}

func newCase(g verify.Guarantee, situation, sentence string, run func(*test)) testCase {
	return testCase{conformance.Case{Guarantee: g, Situation: situation, Sentence: sentence}, run}
}

// Cases returns every case, those of a guarantee together, in the order in
// which they run.
func Cases() []conformance.Case {
	var cases []conformance.Case
	for _, c := range allCases() {
		cases = append(cases, c.Case)
	}
	return cases
}

func allCases() []testCase {
	cases := slices.Concat(streamCases(), resumeCases(), frameCases(), foreignCases())
	order := verify.Guarantees()
	slices.SortStableFunc(cases, func(a, b testCase) int {
		return slices.Index(order, a.Guarantee) - slices.Index(order, b.Guarantee)
	})
	return cases
}

// Run runs the cases, each a subtest, over connections to a server on the
// loopback interface.
func Run(t *testing.T, h Harness) {
	t.Helper()
	names, start := h.trials()
	trial.RunAll(t, names, func(int) bool { return false }, start)
}

// Check is [Run] without a testing.T. nil options mean the defaults.
func Check(ctx context.Context, h Harness, opts *conformance.Options) conformance.Report {
	var o conformance.Options
	if opts != nil {
		o = *opts
	}
	settings := trial.Settings{Patience: o.Patience, Limit: o.Limit, Seed: o.Seed, Dir: o.Dir}
	names, start := h.trials()
	cases := Cases()
	var report conformance.Report
	err := trial.CheckAll(ctx, settings, names, o.Cases, start, func(i int, r trial.Result) {
		report.Results = append(report.Results, conformance.Result{
			Case: cases[i], Skipped: r.Skipped, Faults: r.Faults, Trace: r.Trace, Seed: r.Seed, Duration: r.Duration, History: r.History,
		})
	})
	if err != nil {
		report.Results = []conformance.Result{{Faults: []error{err}}}
	}
	return report
}

// trials returns the names of the cases and what starts each.
func (h Harness) trials() (names []string, start trial.Start) {
	cases := allCases()
	for _, c := range cases {
		names = append(names, c.Name())
	}
	return names, func(ctx context.Context, i int, s trial.Settings) *trial.Trial {
		c := cases[i]
		subject := trial.Subject{Guarantee: c.Guarantee, Name: c.Name(), Sentence: c.Sentence}
		return trial.New(ctx, subject, trial.Store{Append: h.append}, s, func(t *trial.Trial) { c.run(&test{t, h}) })
	}
}

func (h Harness) append(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
	if h.Log.Append != nil {
		return h.Log.Append(ctx, log, events...)
	}
	return cdc.Append(ctx, log, events...)
}

// test is one run of one case: a trial over logs and a handler of the harness.
type test struct {
	*trial.Trial
	h Harness
}

// open makes an empty log.
func (t *test) open() cdc.Log {
	name, dir := t.Place()
	ctx, cancel := t.WithPatience()
	defer cancel()
	log, err := t.h.Log.Open(ctx, conformance.Place{Name: name, Dir: dir, Case: t.Subject.Name})
	if err != nil {
		t.StoreFailed("Open", err)
	}
	t.CloseAtEnd(log)
	return log
}

// trim trims, or skips the case if the log cannot.
func (t *test) trim(log cdc.Log, seq uint64) {
	trim := t.h.Log.Trim
	if trim == nil {
		trim = func(ctx context.Context, log cdc.Log, seq uint64) (int, error) { return cdc.Trim(ctx, log, seq) }
	}
	if _, err := trim(t.Ctx, log, seq); err != nil {
		t.StoreFailed("Trim", err)
	}
	if floor := t.Bounds(log).Floor; floor < seq {
		t.DidNothing("Trim", fmt.Sprintf("after a trim to %d the floor is %d", seq, floor))
	}
}
