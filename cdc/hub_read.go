package cdc

import (
	"context"
	"errors"
)

// Bounds implements [Source]. It asks the log; concurrent calls share one that
// began after all of them.
func (h *Hub) Bounds(ctx context.Context) (Bounds, error) {
	return h.bounds.do(ctx, struct{}{}, h.log.Bounds)
}

// edgeRead is a read at or above the end of the tail, where only the log can
// say what there is.
type edgeRead struct {
	after Cursor
	limit int
}

// filteredRead is a read below the tail that the log filters.
type filteredRead struct {
	edgeRead
	filter string
}

// Read implements [Source]. What the tail holds comes from memory, without
// copying. Below it, readers of neighbouring positions share pages; above it,
// readers of one position share a read that began after they asked.
func (h *Hub) Read(ctx context.Context, after Cursor, limit int) (Page, error) {
	if ctx.Err() != nil {
		return Page{}, context.Cause(ctx)
	}
	if h.tasks.stopped() {
		return Page{}, h.tasks.why()
	}
	if page, ok := h.readTail(after, max(limit, 1)); ok {
		h.count(ctx, true, nil)
		return page, nil
	}
	page, err := h.readLog(ctx, after, max(limit, 1))
	h.count(ctx, false, err)
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
	if base.Epoch == "" { // a cold read cannot be shared before the log is reached
		if err := h.reach(ctx); err != nil {
			return Page{}, err
		}
		base = h.tailBase()
	}
	if after.Epoch == base.Epoch && after.Seq < base.Seq {
		return h.cold.read(ctx, after, limit, base.Seq)
	}
	return h.edge.do(ctx, edgeRead{after, limit}, func(ctx context.Context) (Page, error) {
		return h.log.Read(ctx, after, limit)
	})
}

// ReadFiltered implements [FilterReader]: a log that filters by itself does so
// below the tail, once for readers of one position with one filter that come
// while it is busy.
func (h *Hub) ReadFiltered(ctx context.Context, after Cursor, limit int, f Filter) (Page, error) {
	if fr, ok := filterReader(h.log, f); ok && after.Seq < h.tailBase().Seq {
		page, err := h.filtered.do(ctx, filteredRead{edgeRead{after, limit}, f.key()}, func(ctx context.Context) (Page, error) {
			return fr.ReadFiltered(ctx, after, limit, f)
		})
		if !errors.Is(err, errors.ErrUnsupported) {
			h.count(ctx, false, err)
			return page, err
		}
	}
	page, err := h.Read(ctx, after, limit)
	return page.only(f), err
}

func (h *Hub) tailBase() Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tail.base
}
