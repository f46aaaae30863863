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
		count := l.pageCount(limit)
		v, err := l.currentView(ctx, l.client, &pageQuery{from: after.Seq, count: count + 1})
		if err != nil {
			return cdc.Page{}, err
		}
		if err := v.bounds.Check(after); err != nil {
			return cdc.Page{}, err
		}
		entries, err := parseEntries(v.page.raw, count+1)
		v.page.release()
		if err != nil {
			return cdc.Page{}, err
		}
		if v.diverged(entries) {
			if err := l.wentBack(ctx, v); err != nil {
				return cdc.Page{}, err
			}
			continue
		}
		page, hole, err := assemble(v.bounds, after, entries, count)
		if err != nil {
			return cdc.Page{}, err
		}
		if hole.to == 0 {
			l.learn(v, page)
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

// assemble makes a page of entries, which begin at after.Seq itself if that is
// stored. A hole before the first event is returned; one behind it ends the
// page, and the next Read finds it.
func assemble(b cdc.Bounds, after cdc.Cursor, entries []cdc.Event, count int) (cdc.Page, hole, error) {
	complete := len(entries) < count+1 // nothing follows the last entry
	for i, e := range entries {
		if e.Seq > b.Head { // of another program
			entries, complete = entries[:i], true
			break
		}
		if e.Time.IsZero() {
			return cdc.Page{}, hole{}, fmt.Errorf("entry %s of the stream is none of this log's: another program wrote it", entryID(e.Seq))
		}
	}
	var at *cdc.Event
	if len(entries) > 0 && entries[0].Seq == after.Seq {
		at, entries = &entries[0], entries[1:]
	} else if after.Seq > b.Floor && after.Seq <= b.Head {
		return cdc.Page{}, hole{after.Seq, firstSeq(entries, b.Head) - 1}, nil
	}
	if err := b.CheckTag(after, at); err != nil {
		return cdc.Page{}, hole{}, err
	}

	page := cdc.Page{Next: after.Seq}
	for size := 0; len(page.Events) < min(len(entries), count) && size < cdc.PageBytes; page.Next++ {
		e := entries[len(page.Events)]
		if e.Seq != page.Next+1 {
			break
		}
		page.Events = entries[:len(page.Events)+1]
		size += e.Size()
	}
	if len(page.Events) > 0 {
		page.Events = slices.Clip(page.Events)
		return page, hole{}, nil
	}
	if next := firstSeq(entries, b.Head); next > after.Seq+1 && (complete || len(entries) > 0) {
		return cdc.Page{}, hole{after.Seq + 1, next - 1}, nil
	}
	return page, hole{}, nil
}

// firstSeq of the entries, or the one above the head.
func firstSeq(entries []cdc.Event, head uint64) uint64 {
	if len(entries) > 0 {
		return entries[0].Seq
	}
	return head + 1
}

// pageCount is how many events to ask for: as many as make a page if they are
// like those of the last one, and no more than maxReplyBytes if all are as large
// as the largest that was ever appended.
func (l *Log) pageCount(limit int) int {
	if largest := l.largest.Load(); largest > 0 {
		limit = min(limit, int(max(1, maxReplyBytes/largest)))
	}
	average := max(l.average.Load(), 1)
	return min(limit, int(cdc.PageBytes/average)+1)
}

// learn keeps what the next page's count is taken from.
func (l *Log) learn(v view, page cdc.Page) {
	l.largest.Store(int64(v.max))
	if len(page.Events) == 0 {
		return
	}
	total := 0
	for i := range page.Events {
		total += page.Events[i].Size()
	}
	l.average.Store(int64(total / len(page.Events)))
	l.track.saw(v.bounds.Epoch, page.Events[len(page.Events)-1])
}
