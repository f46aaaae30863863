package redislog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// maxReplyBytes bounds the reply that one page asks for, whatever the sizes of
// its events: 64 MiB.
const maxReplyBytes = 64 << 20

// Bounds implements [cdc.Source].
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	return call(ctx, &l.handle, "bounds", l.current)
}

// Read implements [cdc.Source]. What other programs removed from the stream is
// found by the numbers, which have no holes: it is a [*cdc.ResetError] with
// [cdc.ReasonTruncated] for every cursor below it.
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return call(ctx, &l.handle, "read", func(ctx context.Context) (cdc.Page, error) {
		return l.read(ctx, after, max(limit, 1))
	})
}

func (l *Log) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	for range maxLooks {
		limit, count := l.pageCount(limit)
		v, err := l.currentView(ctx, l.client, &pageQuery{from: after.Seq, count: count})
		if err != nil {
			return cdc.Page{}, err
		}
		if err := v.bounds.Check(after); err != nil {
			return cdc.Page{}, err
		}
		events, entries, err := parseEntries(v.page.raw, limit+2*maxEventsPerEntry)
		v.page.release()
		if err != nil {
			return cdc.Page{}, err
		}
		if v.diverged(events) {
			if err := l.wentBack(ctx, v); err != nil {
				return cdc.Page{}, err
			}
			continue
		}
		page, hole, err := assemble(v.bounds, after, events, limit, entries < count)
		if err != nil {
			return cdc.Page{}, err
		}
		if hole.to == 0 {
			l.learn(v, page, len(events), entries)
			return page, nil
		}
		if err := l.repair(ctx, hole.from, hole.to); err != nil {
			return cdc.Page{}, err
		}
	}
	return cdc.Page{}, errors.New("other programs keep removing entries of the stream: stop them")
}

// hole is a range of seqs that are missing in the stream; to is 0 for none.
type hole struct{ from, to uint64 }

// assemble makes a page of at most limit events of those that were read, which
// begin at or before after.Seq if that is stored. A hole before the first event is
// returned; one behind it ends the page, and the next Read finds it. Complete says
// that nothing follows the last one.
func assemble(b cdc.Bounds, after cdc.Cursor, events []cdc.Event, limit int, complete bool) (cdc.Page, hole, error) {
	for i, e := range events {
		if e.Seq > b.Head { // of another program
			events, complete = events[:i], true
			break
		}
		if e.Time.IsZero() {
			return cdc.Page{}, hole{}, fmt.Errorf("entry %d of the stream is none of this log's: another program wrote it", e.Seq)
		}
	}
	for len(events) > 0 && events[0].Seq < after.Seq { // they share its entry
		events = events[1:]
	}
	var at *cdc.Event
	if len(events) > 0 && events[0].Seq == after.Seq {
		at, events = &events[0], events[1:]
	} else if after.Seq > b.Floor && after.Seq <= b.Head {
		return cdc.Page{}, hole{after.Seq, firstSeq(events, b.Head) - 1}, nil
	}
	if err := b.CheckTag(after, at); err != nil {
		return cdc.Page{}, hole{}, err
	}

	page := cdc.Page{Next: after.Seq}
	for size := 0; len(page.Events) < min(len(events), limit) && size < cdc.PageBytes; page.Next++ {
		e := events[len(page.Events)]
		if e.Seq != page.Next+1 {
			break
		}
		page.Events = events[:len(page.Events)+1]
		size += e.Size()
	}
	if len(page.Events) > 0 {
		page.Events = slices.Clip(page.Events)
		return page, hole{}, nil
	}
	if next := firstSeq(events, b.Head); next > after.Seq+1 && (complete || len(events) > 0) {
		return cdc.Page{}, hole{after.Seq + 1, next - 1}, nil
	}
	return page, hole{}, nil
}

// firstSeq of the events, or the one above the head.
func firstSeq(events []cdc.Event, head uint64) uint64 {
	if len(events) > 0 {
		return events[0].Seq
	}
	return head + 1
}

// pageCount is how many events a page may have, and how many entries to ask for:
// as many as make a page if they are like those of the last one, and no more than
// maxReplyBytes if all are as large as the largest that was ever appended.
func (l *Log) pageCount(limit int) (events, entries int) {
	average := max(l.average.Load(), 1)
	events = min(limit, int(cdc.PageBytes/average)+1)
	perEntry := max(l.perEntry.Load(), 1)
	entries = int((int64(events)+perEntry-1)/perEntry) + 1 // and the one that has the cursor's event
	if largest := l.largest.Load(); largest > 0 {
		entries = min(entries, int(max(1, maxReplyBytes/max(largest, maxEntryBytes)))+1)
	}
	return events, entries
}

// learn keeps what the next page's counts are taken from.
func (l *Log) learn(v view, page cdc.Page, events, entries int) {
	l.largest.Store(int64(v.max))
	if len(page.Events) == 0 {
		return
	}
	total := 0
	for i := range page.Events {
		total += page.Events[i].Size()
	}
	l.average.Store(int64(total / len(page.Events)))
	l.perEntry.Store(int64(events / entries))
	l.track.saw(v.bounds.Epoch, page.Events[len(page.Events)-1])
}
