package trial

import (
	"errors"
	"fmt"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Event makes an event that differs from every other of the trial.
func (t *Trial) Event() cdc.Event {
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

// Events makes n events.
func (t *Trial) Events(n int) []cdc.Event {
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = t.Event()
	}
	return events
}

// Append appends the events in one call and ends the case if that fails.
func (t *Trial) Append(log cdc.Log, events ...cdc.Event) cdc.Receipt {
	r, err := t.TryAppend(log, events...)
	if errors.Is(err, errors.ErrUnsupported) {
		// Skipped, every case would be, and the suite would have passed.
		t.FailWith(fmt.Errorf("the suite cannot append: give the log an Append, or set Harness.Append: %w", err))
	}
	if err != nil {
		t.StoreFailed("Append", err)
	}
	return r
}

// TryAppend appends in one call and records it. It may be called from any
// goroutine.
func (t *Trial) TryAppend(log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
	a := verify.Append{Begin: t.History.Tick(), Records: make([]verify.Record, len(events))}
	r, err := t.store.Append(t.Ctx, log, events...)
	a.End, a.Epoch = t.History.Tick(), r.Epoch
	for i, e := range events {
		a.Records[i].ID = e.ID
		if err == nil && i < len(r.Seqs) {
			a.Records[i].Seq = r.Seqs[i]
		}
	}
	if err == nil {
		a.Outcome = verify.Acknowledged
		if len(r.Seqs) != len(events) {
			t.Note(verify.Atomic, "Append of %d events returned %d seqs", len(events), len(r.Seqs))
		}
	}
	t.Trace("Append %d → %s %s", len(events), seqsText(r.Seqs), ErrText(err))
	t.History.Append(a)
	return r, err
}

// NoteAppendFailed reports an append that failed on another goroutine, unless
// the case has ended.
func (t *Trial) NoteAppendFailed(err error) {
	if t.Ctx.Err() == nil {
		t.NoteFault(fmt.Errorf("the harness could not append: %w", err))
	}
}

// Fill appends n events, each in a call of its own.
func (t *Trial) Fill(log cdc.Log, n int) []uint64 {
	seqs := make([]uint64, 0, n)
	for range n {
		seqs = append(seqs, t.Append(log, t.Event()).Seqs...)
	}
	return seqs
}

// FillFast appends n events in few calls.
func (t *Trial) FillFast(log cdc.Log, n int) []uint64 {
	var seqs []uint64
	for n > 0 {
		k := min(n, 500)
		seqs = append(seqs, t.Append(log, t.Events(k)...).Seqs...)
		n -= k
	}
	return seqs
}

// Write appends from several goroutines at once and waits for them.
func (t *Trial) Write(log cdc.Log, writers, each int) {
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				if _, err := t.TryAppend(log, t.Events(1+(w+n)%3)...); err != nil {
					t.NoteAppendFailed(err)
					return
				}
			}
		})
	}
	group.Wait()
}
