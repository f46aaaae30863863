package memlog

import (
	"context"
	"sort"

	"github.com/gapless-go/gapless/cdc"
)

// Bounds implements [cdc.Source].
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if err := l.enter(ctx); err != nil {
		return cdc.Bounds{}, err
	}
	defer l.mu.Unlock()
	return l.bounds, nil
}

// Read implements [cdc.Source].
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return l.ReadFiltered(ctx, after, limit, cdc.Filter{})
}

// ReadFiltered implements [cdc.FilterReader].
func (l *Log) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	if err := l.enter(ctx); err != nil {
		return cdc.Page{}, err
	}
	defer l.mu.Unlock()
	if err := l.bounds.Check(after); err != nil {
		return cdc.Page{}, err
	}
	i := l.search(after.Seq)
	if err := l.bounds.CheckTag(after, l.at(i-1, after.Seq)); err != nil {
		return cdc.Page{}, err
	}

	page := cdc.Page{Next: max(after.Seq, l.bounds.Head)}
	for size := 0; i < len(l.events); i++ {
		e := l.events[i]
		if !f.Match(e) {
			continue
		}
		if len(page.Events) == max(limit, 1) || size >= cdc.PageBytes {
			page.Next = l.events[i-1].Seq
			break
		}
		page.Events = append(page.Events, e)
		size += e.Size()
	}
	if f.Empty() {
		return page, nil
	}
	if at := l.at(l.search(page.Next)-1, page.Next); at != nil {
		page.Tag = at.Tag()
	}
	return page, nil
}

// search returns the index of the first event above seq.
func (l *Log) search(seq uint64) int {
	return sort.Search(len(l.events), func(i int) bool { return l.events[i].Seq > seq })
}

// at returns the event at index i if it has that seq.
func (l *Log) at(i int, seq uint64) *cdc.Event {
	if i < 0 || l.events[i].Seq != seq {
		return nil
	}
	return &l.events[i]
}
