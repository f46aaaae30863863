package cdc

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Pages below the tail are kept for others that follow: at most coldPages of
// at most coldEvents events, and about coldBytes in all. A follower that falls
// out of them reads for itself, so they are as many as fit in the bytes and can
// be looked through for each read.
const (
	coldPages  = 64
	coldEvents = 1024
	coldBytes  = 16 << 20

	// coldAhead is how many pages are read before anybody asks for them. Where
	// so many wait for their readers, those are slower than the log.
	coldAhead = 8
)

// coldReads are pages below the tail that were read lately or are being read.
// They never become wrong, only useless: the events of a log do not change, and
// one that goes back to below the tail is found out by the Hub's reader, which
// forgets them. Above the base of the tail it might not be.
type coldReads struct {
	log   Source
	tasks *tasks

	mu    sync.Mutex
	pages []*coldPage // least recently used first
	bytes int         // of those that have been read
}

// coldPage is one read. Only after and limit are set before it has landed.
type coldPage struct {
	*flight[Page]
	after Cursor
	limit int
	bytes int  // guarded by the mutex of coldReads
	ahead bool // nobody has asked for it yet; guarded by the mutex of coldReads
}

// read answers from a page that covers the cursor, waits for one that may, or
// reads one, up to the base of the tail.
func (c *coldReads) read(ctx context.Context, after Cursor, limit int, base uint64) (Page, error) {
	for {
		p, added := c.find(after)
		if added && !c.tasks.start(func() { c.fill(p, base) }) {
			return Page{}, c.tasks.why()
		}
		page, err := p.wait(ctx, c.tasks)
		switch {
		case err == nil && (added || p.covers(after)):
			c.readAhead(p, base)
			page.Events = eventsAfter(page.Events, after.Seq)
			return page.first(limit), nil
		case err != nil && (added || p.after == after || !isReset(err)):
			return Page{}, err
		}
	}
}

// readAhead lets the log read what a reader of page after page will ask for, while
// it handles the page that it gets.
func (c *coldReads) readAhead(p *coldPage, base uint64) {
	if next := c.addNext(p, base); next != nil {
		c.tasks.start(func() { c.fill(next, base) })
	}
}

// addNext adds the page behind p, unless it is there, or p is not one that was come
// to from the page before it.
func (c *coldReads) addNext(p *coldPage, base uint64) *coldPage {
	next := p.value.cursor(p.after.Epoch)
	if next.Seq == p.after.Seq || next.Seq >= base {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead, sequence := 0, false
	for _, q := range c.pages {
		if q.mayCover(next) {
			return nil
		}
		if q.ahead {
			ahead++
		}
		sequence = sequence || q.landed() && q.value.Next == p.after.Seq
	}
	if !sequence || ahead == coldAhead {
		return nil
	}
	return c.add(&coldPage{after: next, limit: c.room(next), ahead: true})
}

func isReset(err error) bool {
	_, reset := errors.AsType[*ResetError](err)
	return reset
}

// fill reads the page, which ends at the base at the latest. A page that failed
// or is empty is not kept.
func (c *coldReads) fill(p *coldPage, base uint64) {
	page, err := c.log.Read(c.tasks.ctx, p.after, p.limit)
	if err == nil {
		err = page.check(p.after.Seq)
	}
	if page.Next > base {
		n := len(page.Events) - len(eventsAfter(page.Events, base))
		page = Page{Events: page.Events[:n:n], Next: base}
	}
	if err != nil || page.Next == p.after.Seq {
		c.drop(p)
	} else {
		c.keep(p, page)
	}
	p.land(page, err)
}

// find returns the page to wait for, and whether it was added for the caller,
// who has to read it then. A new page ends where the next one begins, so that
// readers who came in at different places soon read the same pages.
func (c *coldReads) find(after Cursor) (p *coldPage, added bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range slices.Backward(c.pages) {
		if p.mayCover(after) {
			p.ahead = false
			c.pages = append(slices.Delete(c.pages, i, i+1), p)
			return p, false
		}
	}
	return c.add(&coldPage{after: after, limit: c.room(after)}), true
}

// room is how many events a page at the cursor may have; mu is held.
func (c *coldReads) room(after Cursor) int {
	limit := uint64(coldEvents)
	for _, p := range c.pages {
		if p.after.Epoch == after.Epoch && p.after.Seq > after.Seq {
			limit = min(limit, p.after.Seq-after.Seq)
		}
	}
	return int(limit)
}

// add adds a page that is to be read; mu is held.
func (c *coldReads) add(p *coldPage) *coldPage {
	p.flight = newFlight[Page]()
	c.pages = append(c.pages, p)
	c.trim()
	return p
}

// keep counts the bytes of what was read, unless the page was dropped meanwhile.
func (c *coldReads) keep(p *coldPage, page Page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.pages, p) {
		return
	}
	for _, e := range page.Events {
		p.bytes += e.Size()
	}
	c.bytes += p.bytes
	c.trim()
}

// trim must be called with mu held. The page that was used last always stays.
func (c *coldReads) trim() {
	for len(c.pages) > coldPages || c.bytes > coldBytes && len(c.pages) > 1 {
		c.bytes -= c.pages[0].bytes
		c.pages = slices.Delete(c.pages, 0, 1)
	}
}

func (c *coldReads) drop(p *coldPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages = slices.DeleteFunc(c.pages, func(q *coldPage) bool { return p == q })
}

// forget drops all pages: they may be of a history that the log has lost.
func (c *coldReads) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages, c.bytes = nil, 0
}

// mayCover reports whether the page covers the cursor, or may once it is read.
func (p *coldPage) mayCover(after Cursor) bool {
	if p.landed() {
		return p.covers(after)
	}
	return p.after.Epoch == after.Epoch && p.after.Seq <= after.Seq && after.Seq < p.after.Seq+uint64(p.limit)
}

// covers reports whether what follows the cursor is in the page, and the page
// shows that the cursor's tag is right. The page must have landed.
func (p *coldPage) covers(after Cursor) bool {
	switch {
	case p.err != nil || p.after.Epoch != after.Epoch || after.Seq < p.after.Seq || after.Seq >= p.value.Next:
		return false
	case after.Tag == "":
		return true
	case after.Seq == p.after.Seq:
		return after.Tag == p.after.Tag
	}
	return p.value.agrees(after)
}
