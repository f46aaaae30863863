package cdc

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Bounds implements [Source]. It asks the log; concurrent calls share one that
// began after all of them.
func (h *Hub) Bounds(ctx context.Context) (Bounds, error) {
	return h.bounds.do(ctx, h, struct{}{}, h.log.Bounds)
}

// edgeRead is a read at or above the end of the tail, where only the log knows
// what there is.
type edgeRead struct {
	after Cursor
	limit int
}

// Read implements [Source]. What the tail holds comes from memory, without
// copying. Below it, readers of neighbouring positions share pages; above it,
// readers of one position share a read that began after they asked.
func (h *Hub) Read(ctx context.Context, after Cursor, limit int) (Page, error) {
	if ctx.Err() != nil {
		return Page{}, context.Cause(ctx)
	}
	if h.ctx.Err() != nil {
		return Page{}, ErrClosed
	}
	if page, ok := h.readTail(after, max(limit, 1)); ok {
		h.observe(ctx, true, nil)
		return page, nil
	}
	page, err := h.readLog(ctx, after, max(limit, 1))
	h.observe(ctx, false, err)
	return page, err
}

func (h *Hub) readTail(after Cursor, limit int) (page Page, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := h.tail.end
	if after.Epoch != end.Epoch || after.Seq >= end.Seq || !h.tail.holds(after.Seq) || !h.tail.agrees(after) {
		return Page{}, false
	}
	return h.tail.page(after.Seq, limit), true
}

func (h *Hub) readLog(ctx context.Context, after Cursor, limit int) (Page, error) {
	base := h.tailBase()
	if base.Epoch == "" {
		if err := h.join(ctx); err != nil {
			return Page{}, err
		}
		base = h.tailBase()
	}
	if after.Epoch == base.Epoch && after.Seq < base.Seq {
		return h.readCold(ctx, after, limit, base.Seq)
	}
	return h.edge.do(ctx, h, edgeRead{after, limit}, func(ctx context.Context) (Page, error) {
		return h.log.Read(ctx, after, limit)
	})
}

// ReadFiltered implements [FilterReader]: a log that filters by itself does so
// below the tail.
func (h *Hub) ReadFiltered(ctx context.Context, after Cursor, limit int, f Filter) (Page, error) {
	if fr, ok := h.log.(FilterReader); ok && after.Seq < h.tailBase().Seq {
		page, err := fr.ReadFiltered(ctx, after, limit, f)
		h.observe(ctx, false, err)
		return page, err
	}
	page, err := h.Read(ctx, after, limit)
	page.Events = f.Select(page.Events)
	return page, err
}

func (h *Hub) tailBase() Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tail.base
}

// Cold reads are kept for others that follow: at most coldPages pages of at most
// coldEvents events, and about coldBytes in all. A follower that falls out of
// them reads for itself, so they are as many as fit in the bytes and can be
// looked through for each read.
const (
	coldPages  = 64
	coldEvents = 512
	coldBytes  = 16 << 20
)

// coldReads are pages below the tail that were read lately or are being read.
// They never become wrong, only useless: the events of a log do not change, and
// one that goes back to below the tail is found out by the Hub's reader, which
// forgets them. Above the base of the tail it might not be.
type coldReads struct {
	mu    sync.Mutex
	pages []*coldPage // least recently used first
	bytes int         // of those that have been read
}

// coldPage is one read. Until done is closed, only after and limit are set.
type coldPage struct {
	after Cursor
	limit int
	done  chan struct{}
	page  Page
	err   error
	bytes int // guarded by the mutex of coldReads
}

// readCold answers from a page that covers the cursor, waits for one that may,
// or reads one, up to the base of the tail.
func (h *Hub) readCold(ctx context.Context, after Cursor, limit int, base uint64) (Page, error) {
	for {
		p, own := h.cold.find(after)
		if own && !h.spawn(func() { h.fill(p, base) }) {
			return Page{}, ErrClosed
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return Page{}, context.Cause(ctx)
		case <-h.ctx.Done():
			return Page{}, ErrClosed // perhaps before anyone could be found to read it
		}
		_, reset := errors.AsType[*ResetError](p.err)
		switch {
		case h.ctx.Err() != nil:
			return Page{}, ErrClosed
		case p.err != nil && (own || !reset || p.after == after):
			return Page{}, p.err
		case p.err == nil && (own || p.covers(after)):
			page := p.page
			page.Events = eventsAfter(page.Events, after.Seq)
			return page.cut(limit), nil
		}
	}
}

// fill reads the page; a failed one is forgotten.
func (h *Hub) fill(p *coldPage, base uint64) {
	p.page, p.err = h.log.Read(h.ctx, p.after, p.limit)
	if p.err == nil {
		p.err = p.page.check(p.after.Seq)
	}
	if p.page.Next > base {
		n := len(p.page.Events) - len(eventsAfter(p.page.Events, base))
		p.page = Page{Events: p.page.Events[:n:n], Next: base}
	}
	if p.err != nil || p.page.Next == p.after.Seq {
		h.cold.drop(p)
	} else {
		h.cold.keep(p)
	}
	close(p.done)
}

// find returns the page to wait for, and whether the caller has to read it. A
// new page ends where the next one that is known begins, so that readers who
// came in at different places soon read the same pages.
func (c *coldReads) find(after Cursor) (p *coldPage, own bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := uint64(coldEvents)
	for i, p := range slices.Backward(c.pages) {
		if p.mayCover(after) {
			c.pages = append(slices.Delete(c.pages, i, i+1), p)
			return p, false
		}
		if p.after.Epoch == after.Epoch && p.after.Seq > after.Seq {
			limit = min(limit, p.after.Seq-after.Seq)
		}
	}
	p = &coldPage{after: after, limit: int(limit), done: make(chan struct{})}
	c.pages = append(c.pages, p)
	c.trim()
	return p, true
}

// keep counts the bytes of a page that was read, unless it is among the kept
// no longer.
func (c *coldReads) keep(p *coldPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.pages, p) {
		return
	}
	for _, e := range p.page.Events {
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

func (c *coldReads) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages, c.bytes = nil, 0
}

// mayCover reports whether the page covers the cursor, or may once it is read.
func (p *coldPage) mayCover(after Cursor) bool {
	select {
	case <-p.done:
		return p.covers(after)
	default:
		return p.after.Epoch == after.Epoch && p.after.Seq <= after.Seq && after.Seq < p.after.Seq+uint64(p.limit)
	}
}

// covers reports whether what follows the cursor is in the page, and the page
// shows that the cursor's tag is right.
func (p *coldPage) covers(after Cursor) bool {
	switch {
	case p.err != nil || p.after.Epoch != after.Epoch || after.Seq < p.after.Seq || after.Seq >= p.page.Next:
		return false
	case after.Tag == "":
		return true
	case after.Seq == p.after.Seq:
		return after.Tag == p.after.Tag
	}
	return p.page.agrees(after)
}

// flights shares calls between those who ask at the same time: whoever asks
// while a call is under way gets the result of the next one, which begins
// after it asked.
type flights[K comparable, V any] struct {
	mu      sync.Mutex
	current map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
	next  *flight[V]
}

func (s *flights[K, V]) do(ctx context.Context, h *Hub, key K, call func(context.Context) (V, error)) (V, error) {
	var none V
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	f := s.board(h, key, call)
	if f == nil {
		return none, ErrClosed
	}
	select {
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-f.done:
		if h.ctx.Err() != nil {
			return none, ErrClosed
		}
		return f.value, f.err
	}
}

// board returns the flight for the key that has not begun, and makes it begin
// when the one under way has ended. It is nil if the Hub was closed.
func (s *flights[K, V]) board(h *Hub, key K, call func(context.Context) (V, error)) *flight[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &flight[V]{done: make(chan struct{})}
	if under := s.current[key]; under != nil {
		if under.next == nil {
			under.next = f
		}
		return under.next
	}
	if s.current == nil {
		s.current = map[K]*flight[V]{}
	}
	if !h.spawn(func() { s.fly(h, key, f, call) }) {
		return nil
	}
	s.current[key] = f
	return f
}

func (s *flights[K, V]) fly(h *Hub, key K, f *flight[V], call func(context.Context) (V, error)) {
	for f != nil {
		f.value, f.err = call(h.ctx)
		s.mu.Lock()
		if f.next == nil {
			delete(s.current, key)
		} else {
			s.current[key] = f.next
		}
		close(f.done)
		f = f.next
		s.mu.Unlock()
	}
}
