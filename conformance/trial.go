package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// trial is one run of one case: what it opened, what it recorded and what it
// found. Cases are straight lines of calls on it; the first failure of the
// case's own goroutine ends it.
type trial struct {
	ctx      context.Context
	h        Harness
	c        Case
	opts     Options
	root     string // folder of all places
	rng      *rand.Rand
	trace    trace
	history  *verify.History
	events   atomic.Uint64 // number of events made
	places   int
	latest   handle         // the log that was opened last
	closers  []func() error // last first
	streams  []*stream
	besides  []<-chan struct{}
	exercise atomic.Int64 // how much was looked at
	judged   bool
	label    string // of the goroutines of the case
	sse      SSEHarness

	mu     sync.Mutex
	faults []error
	skip   string

	givenUp bool // something of the case goes on, and writes the history
}

// ended is panicked by the goroutine of a case to end it.
type ended struct{}

// fail reports a broken guarantee and ends the case.
func (t *trial) fail(g Guarantee, format string, args ...any) {
	t.note(g, format, args...)
	panic(ended{})
}

// note reports a broken guarantee. It may be called from any goroutine.
func (t *trial) note(g Guarantee, format string, args ...any) {
	t.add(&Violation{Guarantee: g, Problem: fmt.Sprintf(format, args...)})
}

func (t *trial) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, err)
}

// giveUp reports the fault of something that goes on though the case is over.
func (t *trial) giveUp(err error) {
	t.add(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.givenUp = true
}

func (t *trial) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.faults) > 0
}

// looked says that something was checked. A case that checked nothing fails.
func (t *trial) looked() { t.exercise.Add(1) }

// skipped ends the case because the log cannot do what it needs.
func (t *trial) skipped(format string, args ...any) {
	t.mu.Lock()
	t.skip = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	panic(ended{})
}

// want reports a broken guarantee of the case unless ok.
func (t *trial) want(ok bool, format string, args ...any) {
	t.looked()
	if !ok {
		t.fail(t.c.Guarantee, format, args...)
	}
}

// sequence compares seqs, and shows them around the first that differs.
func (t *trial) sequence(g Guarantee, got, want []uint64, format string, args ...any) {
	t.looked()
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
	t.add(&Violation{Guarantee: g, Problem: fmt.Sprintf(format, args...), Expected: around(want), Seen: around(got)})
	panic(ended{})
}

// patient is a context for one wait.
func (t *trial) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.ctx, t.opts.Patience)
}

// handle is an open log and where it is.
type handle struct {
	cdc.Log
	at Place
}

// open makes an empty log.
func (t *trial) open() handle {
	t.places++
	at := Place{Name: fmt.Sprintf("c%d_%d", t.opts.Seed%1e9, placeNumber()), Case: t.c.Name()}
	at.Dir = filepath.Join(t.root, at.Name)
	if err := os.MkdirAll(at.Dir, 0o755); err != nil {
		t.broken("open", err)
	}
	t.latest = t.openWith("Open", t.h.Open, at)
	return t.latest
}

func (t *trial) openWith(what string, open func(context.Context, Place) (cdc.Log, error), at Place) handle {
	ctx, cancel := t.patient()
	defer cancel()
	log, err := open(ctx, at)
	if err != nil {
		t.broken(what, err)
	}
	if c, ok := log.(io.Closer); ok {
		t.closers = append(t.closers, c.Close)
	}
	return handle{Log: log, at: at}
}

// second opens another handle on the log.
func (t *trial) second(h handle) handle {
	other := t.openWith("Second", t.h.Second, h.at)
	if v := reflect.ValueOf(other.Log); v.Kind() == reflect.Pointer && v == reflect.ValueOf(h.Log) {
		t.useless("Second", "it returned the handle that is open already")
	}
	return other
}

// useless ends the case because a func of the harness did not do what the case
// is about: to go on would prove nothing.
func (t *trial) useless(ability, seen string) {
	t.add(fmt.Errorf("the func of Harness.%s did nothing: %s; the case proves nothing", ability, seen))
	panic(ended{})
}

// reopen closes the log and opens it again.
func (t *trial) reopen(h handle) handle {
	t.close(h.Log)
	return t.openWith("Reopen", t.h.Reopen, h.at)
}

func (t *trial) close(log any) {
	if c, ok := log.(io.Closer); ok {
		if err := c.Close(); err != nil {
			t.fail(verify.Contained, "Close returned %v", err)
		}
	}
}

// lacksText is for a capability that the log can have as a method.
const lacksText = "the log cannot do what this case needs; give it the method, or set Harness.%s: %v"

// broken ends the case because the harness or the store failed.
func (t *trial) broken(what string, err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		t.skipped(lacksText, what, err)
	}
	t.add(fmt.Errorf("%s failed: %w", what, err))
	panic(ended{})
}

// event makes an event that differs from every other of the trial.
func (t *trial) event() cdc.Event {
	n := t.events.Add(1)
	return cdc.Event{
		ID:    fmt.Sprintf("e%d", n),
		Topic: fmt.Sprintf("topic%d", n%3),
		Type:  fmt.Sprintf("type%d", n%4),
		Key:   fmt.Sprintf("key%d", n%5),
		Data:  fmt.Appendf(nil, `{"n":%d}`, n),
		Meta:  map[string]string{"n": fmt.Sprint(n)},
	}
}

func (t *trial) eventsN(n int) []cdc.Event {
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = t.event()
	}
	return events
}

// append appends the events in one call and ends the case if that fails.
func (t *trial) append(log cdc.Log, events ...cdc.Event) cdc.Receipt {
	r, err := t.tryAppend(log, events...)
	if errors.Is(err, errors.ErrUnsupported) {
		// Skipped, every case would be, and the suite would have passed.
		t.add(fmt.Errorf("the suite cannot append: give the log an Append, or set Harness.Append: %w", err))
		panic(ended{})
	}
	if err != nil {
		t.broken("Append", err)
	}
	return r
}

// tryAppend appends in one call and records it. It may be called from any
// goroutine.
func (t *trial) tryAppend(log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
	a := verify.Append{Begin: t.history.Tick(), Records: make([]verify.Record, len(events))}
	r, err := t.h.append(t.ctx, bare(log), events...)
	a.End, a.Epoch = t.history.Tick(), r.Epoch
	for i, e := range events {
		a.Records[i].ID = e.ID
		if err == nil && i < len(r.Seqs) {
			a.Records[i].Seq = r.Seqs[i]
		}
	}
	if err == nil {
		a.Outcome = verify.Acknowledged
		if len(r.Seqs) != len(events) {
			t.note(verify.Atomic, "Append of %d events returned %d seqs", len(events), len(r.Seqs))
		}
	}
	t.trace.add("Append %d → %s %s", len(events), seqsText(r.Seqs), errText(err))
	t.history.Append(a)
	return r, err
}

// appendFailed reports an append that failed on another goroutine, unless the
// case has ended.
func (t *trial) appendFailed(err error) {
	if t.ctx.Err() == nil {
		t.add(fmt.Errorf("the harness could not append: %w", err))
	}
}

// fill appends n events, each in a call of its own.
func (t *trial) fill(log cdc.Log, n int) []uint64 {
	seqs := make([]uint64, 0, n)
	for range n {
		seqs = append(seqs, t.append(log, t.event()).Seqs...)
	}
	return seqs
}

// bulk appends n events in few calls.
func (t *trial) bulk(log cdc.Log, n int) []uint64 {
	var seqs []uint64
	for n > 0 {
		k := min(n, 500)
		seqs = append(seqs, t.append(log, t.eventsN(k)...).Seqs...)
		n -= k
	}
	return seqs
}

// bare removes the handle around a log.
func bare(log cdc.Log) cdc.Log {
	if h, ok := log.(handle); ok {
		return h.Log
	}
	return log // the harness knows this type
}

func (t *trial) bounds(src cdc.Source) cdc.Bounds {
	ctx, cancel := t.patient()
	defer cancel()
	b, err := src.Bounds(ctx)
	t.trace.add("Bounds → floor %d head %d last %d %s", b.Floor, b.Head, b.Last, errText(err))
	if err != nil {
		t.broken("Bounds", err)
	}
	if b.Floor > b.Head || b.Head > b.Last || !cdc.ValidEpoch(b.Epoch) {
		t.fail(t.c.Guarantee, "Bounds are %+v: they must be floor ≤ head ≤ last, with a valid epoch", b)
	}
	return b
}

// read reads one page and checks its shape.
func (t *trial) read(src cdc.Source, after cdc.Cursor, limit int) cdc.Page {
	page, err := t.tryRead(src, after, limit)
	if err != nil {
		t.broken("Read", err)
	}
	return page
}

func (t *trial) tryRead(src cdc.Source, after cdc.Cursor, limit int) (cdc.Page, error) {
	ctx, cancel := t.patient()
	defer cancel()
	page, err := src.Read(ctx, after, limit)
	t.trace.add("Read after %s limit %d → %s", shortCursor(after), limit, pageText(page, err))
	t.looked()
	if err == nil {
		if problem := verify.CheckPage(page, after, limit); problem != "" {
			t.fail(verify.Reliable, "Read after %d, limit %d: %s", after.Seq, limit, problem)
		}
	}
	return page, err
}

// all reads the log from the cursor to the end, page by page.
func (t *trial) all(src cdc.Source, after cdc.Cursor, limit int) []cdc.Event {
	var events []cdc.Event
	for pages := 0; ; pages++ {
		page := t.read(src, after, limit)
		if page.Next == after.Seq {
			return events
		}
		if pages == maxBatches {
			t.fail(verify.Contained, "reading does not come to an end after %d pages", pages)
		}
		events = append(events, page.Events...)
		after = cdc.Cursor{Epoch: after.Epoch, Seq: page.Next}
	}
}

// record reads the whole log into the history, so that the judge knows it.
func (t *trial) record(src cdc.Source) []cdc.Event {
	b := t.bounds(src)
	from := cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}
	s := t.history.Log("the log, read from floor to head")
	s.Begin(from)
	events := t.all(src, from, 1000)
	for _, e := range events {
		s.Add(e.Seq, verify.RecordOf(e))
	}
	s.Add(max(b.Head, lastSeq(events)))
	return events
}

// soon waits until ok returns true. It polls, so it is only for what nobody
// announces.
func (t *trial) soon(g Guarantee, ok func() bool, format string, args ...any) {
	ctx, cancel := t.patient()
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.fail(g, "not within %v: "+format, append([]any{t.opts.Patience}, args...)...)
		case <-time.After(time.Millisecond):
		}
	}
}

// breathe lets time pass in a loop that polls: virtual time stands still as
// long as anybody runs, and others may wait for it.
func breathe() { time.Sleep(time.Microsecond) }

// beside runs f on a goroutine of its own, which ends before the case does.
func (t *trial) beside(f func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	t.besides = append(t.besides, ended)
	go func() { defer close(ended); f() }()
	return ended
}

// endBesides waits for what beside has started.
func (t *trial) endBesides() {
	for _, done := range t.besides {
		select {
		case <-done:
		case <-time.After(t.opts.Patience):
			t.giveUp(&Violation{Guarantee: verify.Contained, Problem: fmt.Sprintf("an append or a trim did not end within %v, though its context had and the log was closed", t.opts.Patience)})
			return
		}
	}
}

// finite runs f and fails if it does not return in time.
func (t *trial) finite(g Guarantee, what string, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	t.wait(g, done, what)
}

// wait waits for done.
func (t *trial) wait(g Guarantee, done <-chan struct{}, what string) {
	t.looked()
	timer := time.NewTimer(t.opts.Patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.fail(g, "%s did not end within %v", what, t.opts.Patience)
	}
}

func lastSeq(events []cdc.Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

func seqsOf(events []cdc.Event) []uint64 {
	seqs := make([]uint64, len(events))
	for i, e := range events {
		seqs[i] = e.Seq
	}
	return seqs
}
