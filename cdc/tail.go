package cdc

import "sort"

// chunkEvents is how many events a chunk of the tail holds at most. It is also
// the most that a follower gets at once: with the usual events that is about the
// 64 KB that a transport writes at once.
const chunkEvents = 256

// tail is the newest part of a log in memory: every event in (base, end],
// bounded by number and bytes. Events are kept in chunks that only grow, so a
// reader can keep a part of a chunk while the tail moves on.
type tail struct {
	base   Cursor // all events above it, up to end, are here
	end    Cursor
	chunks []*chunk
	events int
	bytes  int
}

type chunk struct {
	events []Event // never reallocated
	bytes  int
}

// reset empties the tail and puts it at c.
func (t *tail) reset(c Cursor) {
	*t = tail{base: c, end: c}
}

// push appends a page that begins at the end of the tail, and drops the oldest
// chunks above the limits. The newest chunk always stays.
func (t *tail) push(page Page, maxEvents, maxBytes int) {
	full := max(1, min(chunkEvents, maxEvents/4))
	for _, e := range page.Events {
		size := e.Size()
		last := len(t.chunks) - 1
		if last < 0 || len(t.chunks[last].events) == full || t.chunks[last].bytes+size > maxBytes/4 {
			t.chunks = append(t.chunks, &chunk{events: make([]Event, 0, full)})
			last++
		}
		c := t.chunks[last]
		c.events = append(c.events, e)
		c.bytes += size
		t.events++
		t.bytes += size
	}
	t.end = page.cursor(t.end.Epoch)
	for len(t.chunks) > 1 && (t.events > maxEvents || t.bytes > maxBytes) {
		oldest := t.chunks[0]
		t.chunks[0] = nil
		t.chunks = t.chunks[1:]
		t.base = oldest.events[len(oldest.events)-1].Cursor(t.end.Epoch)
		t.events -= len(oldest.events)
		t.bytes -= oldest.bytes
	}
}

// holds reports whether everything above seq, up to the end, is in the tail.
func (t *tail) holds(seq uint64) bool { return t.base.Seq <= seq && seq <= t.end.Seq }

// page returns what follows seq, at most limit events of one chunk, without
// copying. The tail must hold seq.
func (t *tail) page(seq uint64, limit int) Page {
	i := sort.Search(len(t.chunks), func(i int) bool {
		events := t.chunks[i].events
		return events[len(events)-1].Seq > seq
	})
	if i == len(t.chunks) {
		return Page{Next: t.end.Seq}
	}
	p := Page{Events: eventsAfter(t.chunks[i].events, seq), Next: t.end.Seq}
	p.Events = p.Events[:len(p.Events):len(p.Events)] // appending to the chunk must not show
	if i < len(t.chunks)-1 {
		p.Next = p.Events[len(p.Events)-1].Seq
	}
	if len(p.Events) <= limit && t.chunks[i].bytes <= PageBytes {
		return p // without looking at each event, for each follower
	}
	return p.first(limit)
}

// agrees reports whether the tail shows that the cursor's tag is right. The
// tail must hold its seq.
func (t *tail) agrees(c Cursor) bool {
	switch {
	case c.Tag == "":
		return true
	case c.Seq == t.base.Seq:
		return c.Tag == t.base.Tag
	}
	return Page{Events: t.page(c.Seq-1, 1).Events}.agrees(c)
}
