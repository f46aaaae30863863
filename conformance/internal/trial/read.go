package trial

import (
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Bounds returns the bounds and checks that they can be.
func (t *Trial) Bounds(src cdc.Source) cdc.Bounds {
	ctx, cancel := t.WithPatience()
	defer cancel()
	b, err := src.Bounds(ctx)
	t.Trace("Bounds → floor %d head %d last %d %s", b.Floor, b.Head, b.Last, ErrText(err))
	if err != nil {
		t.StoreFailed("Bounds", err)
	}
	if b.Floor > b.Head || b.Head > b.Last || !cdc.ValidEpoch(b.Epoch) {
		t.Fail(t.Subject.Guarantee, "Bounds are %+v: they must be floor ≤ head ≤ last, with a valid epoch", b)
	}
	return b
}

// Read reads one page and checks its shape.
func (t *Trial) Read(src cdc.Source, after cdc.Cursor, limit int) cdc.Page {
	page, err := t.TryRead(src, after, limit)
	if err != nil {
		t.StoreFailed("Read", err)
	}
	return page
}

// TryRead is Read for a case that expects an error.
func (t *Trial) TryRead(src cdc.Source, after cdc.Cursor, limit int) (cdc.Page, error) {
	ctx, cancel := t.WithPatience()
	defer cancel()
	page, err := src.Read(ctx, after, limit)
	t.Trace("Read after %s limit %d → %s", CursorText(after), limit, PageText(page, err))
	t.Checked()
	if err == nil {
		if problem := verify.CheckPage(page, after, limit); problem != "" {
			t.Fail(verify.Reliable, "Read after %d, limit %d: %s", after.Seq, limit, problem)
		}
	}
	return page, err
}

// ReadAll reads the log from the cursor to the end, page by page.
func (t *Trial) ReadAll(src cdc.Source, after cdc.Cursor, limit int) []cdc.Event {
	var events []cdc.Event
	for pages := 0; ; pages++ {
		page := t.Read(src, after, limit)
		if page.Next == after.Seq {
			return events
		}
		if pages == maxBatches {
			t.Fail(verify.Contained, "reading does not come to an end after %d pages", pages)
		}
		events = append(events, page.Events...)
		after = cdc.Cursor{Epoch: after.Epoch, Seq: page.Next}
	}
}

// Record reads the whole log into the history, so that the judge knows it.
func (t *Trial) Record(src cdc.Source) []cdc.Event {
	b := t.Bounds(src)
	from := cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}
	s := t.History.Log("the log, read from floor to head")
	s.Begin(from)
	events := t.ReadAll(src, from, 1000)
	for _, e := range events {
		s.Add(e.Seq, verify.RecordOf(e))
	}
	s.Add(max(b.Head, LastSeq(events)))
	return events
}

// LastSeq returns the seq of the last event, 0 if there is none.
func LastSeq(events []cdc.Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

// SeqsOf returns the seqs of the events.
func SeqsOf(events []cdc.Event) []uint64 {
	seqs := make([]uint64, len(events))
	for i, e := range events {
		seqs[i] = e.Seq
	}
	return seqs
}

// FirstAbove returns the index of the first event above seq, or their number.
func FirstAbove(events []cdc.Event, seq uint64) int {
	if i := slices.IndexFunc(events, func(e cdc.Event) bool { return e.Seq > seq }); i >= 0 {
		return i
	}
	return len(events)
}
