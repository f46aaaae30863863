// Package trial is what the suites of conformance run on: one [Trial] is one
// run of one case. It opens nothing by itself. It appends, reads and follows,
// records what every stream got, interposes what the case plans between two
// calls ([Tap]), finds goroutines that are left over, and asks the judge of
// cdc/verify at the end.
//
// A case is a straight line of calls on its Trial. A method that finds a broken
// promise ends the case; one whose name begins with Note reports it and goes
// on, and may be called from any goroutine.
package trial

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Subject is the case that a trial runs.
type Subject struct {
	Guarantee verify.Guarantee
	Name      string // "Guarantee/Situation[/parameter]"
	Sentence  string // what is done and what must come of it
}

// Store is how a trial does what differs from store to store.
type Store struct {
	Append func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error)
	Follow func(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) iter.Seq2[cdc.Batch, error]
	Begin  func(ctx context.Context, log cdc.Log) (Transaction, error)
}

// Settings of a trial.
type Settings struct {
	Patience time.Duration // of one wait for what has to happen; 0 means 10 s
	Limit    time.Duration // of the whole case; 0 means 2 min
	Seed     uint64        // of what is drawn at random; 0 means a new one
	Dir      string        // where the case may make folders
}

// WithDefaults returns the settings with what is 0 set.
func (s Settings) WithDefaults() Settings {
	if s.Patience <= 0 {
		s.Patience = 10 * time.Second
	}
	if s.Limit <= 0 {
		s.Limit = 2 * time.Minute
	}
	if s.Seed == 0 {
		s.Seed = rand.Uint64()
	}
	return s
}

// Trial is one run of one case: what it opened, what it recorded and what it
// found.
type Trial struct {
	Ctx      context.Context // ends with the case
	Subject  Subject
	Settings Settings
	Rand     *rand.Rand      // drawn from the seed
	History  *verify.History // what the judge will look at
	Latest   cdc.Log         // the log that was opened last; a hole in a stream is shown by an append to it

	store  Store
	run    func(*Trial)
	calls  callTrace
	events atomic.Uint64 // number of events made

	transactions atomic.Uint64 // number of those begun
	atEnd        []func() error
	streams      []*Stream
	besides      []<-chan struct{} // closed when what Go has started returns
	checks       atomic.Int64
	moves        atomic.Int64
	looks        atomic.Int64 // of the watchdog of a bubble
	judged       bool
	label        string // of the goroutines of the case

	mu      sync.Mutex
	faults  []error
	skip    string
	givenUp bool // something of the case goes on, and writes the history
}

// New returns a trial that will do run.
func New(ctx context.Context, subject Subject, store Store, settings Settings, run func(*Trial)) *Trial {
	return &Trial{
		Ctx: ctx, Subject: subject, Settings: settings, store: store, run: run,
		Rand:    rand.New(rand.NewPCG(settings.Seed, 0)),
		History: &verify.History{},
		label:   newLabel(subject.Name), // a watchdog reads it beside the case
	}
}

// caseEnded is panicked by the goroutine of a case to end it.
type caseEnded struct{}

// End ends the case.
func (t *Trial) End() { panic(caseEnded{}) }

// Fail reports a broken guarantee and ends the case.
func (t *Trial) Fail(g verify.Guarantee, format string, args ...any) {
	t.Note(g, format, args...)
	t.End()
}

// FailWith reports the fault and ends the case.
func (t *Trial) FailWith(err error) {
	t.NoteFault(err)
	t.End()
}

// Note reports a broken guarantee.
func (t *Trial) Note(g verify.Guarantee, format string, args ...any) {
	t.NoteFault(&verify.Violation{Guarantee: g, Problem: fmt.Sprintf(format, args...)})
}

// NoteFault reports a [*verify.Violation], or what failed in the harness.
func (t *Trial) NoteFault(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, err)
}

// Failed reports whether a fault was found.
func (t *Trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.faults) > 0
}

// Checked says that something was looked at. A case that checked nothing fails.
func (t *Trial) Checked() { t.checks.Add(1) }

// Moved tells the watchdog that the case goes on, after a call that is not
// recorded.
func (t *Trial) Moved() { t.moves.Add(1) }

// Skip ends the case because the log cannot do what it needs.
func (t *Trial) Skip(format string, args ...any) {
	t.noteSkip(format, args...)
	t.End()
}

func (t *Trial) noteSkip(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skip = fmt.Sprintf(format, args...)
}

// Want reports a broken guarantee of the case and ends it unless ok.
func (t *Trial) Want(ok bool, format string, args ...any) {
	t.Checked()
	if !ok {
		t.Fail(t.Subject.Guarantee, format, args...)
	}
}

// SameSeqs compares seqs, and shows them around the first that differs.
func (t *Trial) SameSeqs(g verify.Guarantee, got, want []uint64, format string, args ...any) {
	t.Checked()
	if slices.Equal(got, want) {
		return
	}
	const span = 3
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	around := func(seqs []uint64) []uint64 {
		return seqs[min(len(seqs), max(0, i-span)):min(len(seqs), i+span+1)]
	}
	t.FailWith(&verify.Violation{Guarantee: g, Problem: fmt.Sprintf(format, args...), Expected: around(want), Seen: around(got)})
}

// StoreFailed ends the case because the harness or the store failed.
func (t *Trial) StoreFailed(what string, err error) {
	t.NoteStoreFailed(what, err)
	t.End()
}

// NoteStoreFailed reports that the harness or the store failed. What neither
// can do is no fault: the case is skipped.
func (t *Trial) NoteStoreFailed(what string, err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		t.noteSkip("the log cannot do what this case needs; give it the method, or set Harness.%s: %v", what, err)
		return
	}
	t.NoteFault(fmt.Errorf("%s failed: %w", what, err))
}

// DidNothing ends the case because a func of the harness did not do what the
// case is about: to go on would prove nothing.
func (t *Trial) DidNothing(ability, seen string) {
	t.FailWith(fmt.Errorf("the func of Harness.%s did nothing: %s; the case proves nothing", ability, seen))
}

// JudgesItself keeps the judge away: the case compares everything by itself,
// because what it does breaks promises.
func (t *Trial) JudgesItself() { t.judged = true }

// Trace adds a line to the calls that a failure shows.
func (t *Trial) Trace(format string, args ...any) { t.calls.add(format, args...) }
