package cdc

import (
	"fmt"
	"sort"
)

// check returns an error for a page that no right source can return.
func (p Page) check(after uint64) error {
	last := after
	for _, e := range p.Events {
		if e.Seq <= last {
			return fmt.Errorf("cdc: seq %d came after %d: a Source must return ascending seqs above the cursor, and what was replayed must not come again live", e.Seq, last)
		}
		last = e.Seq
	}
	if p.Next < last {
		return fmt.Errorf("cdc: the source returned a page with Next %d below %d: Next is the last seq that the page covers", p.Next, last)
	}
	return nil
}

// cursor is the position after the page, with the tag of its last event if
// that is the position.
func (p Page) cursor(epoch string) Cursor {
	c := Cursor{Epoch: epoch, Seq: p.Next, Tag: p.Tag}
	if n := len(p.Events); n > 0 && p.Events[n-1].Seq == p.Next {
		c.Tag = p.Events[n-1].Tag()
	}
	return c
}

// only returns the page without the events that f does not match. It keeps the
// tag of the last one.
func (p Page) only(f Filter) Page {
	if f.Empty() {
		return p
	}
	return Page{Events: f.Select(p.Events), Next: p.Next, Tag: p.cursor("").Tag}
}

// agrees reports whether the page has the event at the cursor, with its tag.
func (p Page) agrees(c Cursor) bool {
	events := eventsAfter(p.Events, c.Seq-1)
	return len(events) > 0 && events[0].Seq == c.Seq && events[0].Tag() == c.Tag
}

// first returns the beginning of the page, at most limit events and about
// PageBytes.
func (p Page) first(limit int) Page {
	size := 0
	for i, e := range p.Events {
		if i > 0 && (i >= limit || size >= PageBytes) {
			return Page{Events: p.Events[:i:i], Next: p.Events[i-1].Seq}
		}
		size += e.Size()
	}
	return p
}

// eventsAfter returns the part of the events that lies above seq.
func eventsAfter(events []Event, seq uint64) []Event {
	return events[sort.Search(len(events), func(i int) bool { return events[i].Seq > seq }):]
}
