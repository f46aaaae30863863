package broken

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Read implements [cdc.Source].
func (s *Store) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return s.ReadFiltered(ctx, after, limit, cdc.Filter{})
}

// ReadFiltered implements [cdc.FilterReader].
func (s *Store) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	if s.bug == FilterIgnoresCtx && !f.Empty() {
		ctx = context.WithoutCancel(ctx)
	}
	if err := s.enter(ctx); err != nil {
		return cdc.Page{}, err
	}
	defer s.disk.mu.Unlock()
	defer s.disk.late()
	if s.disk.failing {
		if s.bug == ReadErrorIsEnd {
			return cdc.Page{Next: after.Seq}, nil
		}
		return cdc.Page{}, errFailing
	}
	if page, ok := s.pages[s.pageKey(after, limit, f)]; ok {
		return page, nil
	}
	if err := s.check(s.unchecked(after, f)); err != nil {
		return cdc.Page{}, err
	}
	if s.bug == TrimJumps {
		s.disk.mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		s.disk.mu.Lock()
	}
	if s.bug == TwoViews {
		s.disk.mu.Unlock()
		_ = ctx.Err() // what is committed here is seen by half
		s.disk.mu.Lock()
	}
	read := s.page
	if !f.Empty() {
		read = s.cachedPage
	}
	page, err := read(after, s.limit(limit), f)
	return s.cutRead(ctx, page), err
}

// check refuses what cannot be resumed.
func (s *Store) check(after cdc.Cursor) error {
	b := s.seen()
	asked := after
	if s.bug == FutureBeforeEpoch && after.Seq > b.Last {
		return b.Reset(cdc.ReasonFuture, after.String())
	}
	switch {
	case s.bug == EpochIgnored, s.bug == EpochFolds && strings.EqualFold(asked.Epoch, b.Epoch):
		asked.Epoch = b.Epoch
	case s.bug == EpochSwapped && after.Epoch == s.cached.Epoch:
		asked.Epoch = b.Epoch
	case s.bug == SilentTruncation && after.Seq < b.Floor,
		s.bug == TruncationLow && after.Seq+1 == b.Floor:
		asked.Seq = b.Floor
	case s.bug == TruncationHigh && after.Seq == b.Floor && b.Floor > 0:
		asked.Seq--
	case s.bug == CursorOverflows:
		asked.Seq = min(asked.Seq, uint64(max(0, int64(asked.Seq))))
	case s.bug == CursorCutTo32:
		asked.Seq = uint64(uint32(asked.Seq))
	case s.bug == FutureAccepted:
		asked.Seq = min(asked.Seq, b.Last)
	}
	if err := b.Check(asked); err != nil {
		if s.bug == UntypedReset {
			return errors.New(err.Error())
		}
		return s.resetFor(err, after)
	}
	if s.bug == TagIgnored {
		return nil
	}
	var at *cdc.Event
	i := s.disk.search(asked.Seq)
	if i > 0 && s.disk.events[i-1].Seq == asked.Seq {
		at = &s.disk.events[i-1]
	}
	return b.CheckTag(s.tagged(asked, at))
}

func (d *Disk) search(seq uint64) int {
	i, _ := slices.BinarySearchFunc(d.events, seq+1, func(e cdc.Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	return i
}

// page is what follows the cursor.
func (s *Store) page(after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	d := s.disk
	rows := s.rows(f)
	from := slices.IndexFunc(rows, func(e cdc.Event) bool { return e.Seq > after.Seq })
	if s.bug == InclusiveAfter {
		from = slices.IndexFunc(rows, func(e cdc.Event) bool { return e.Seq >= after.Seq })
	}
	if from < 0 {
		from = len(rows)
	}
	page := cdc.Page{Next: max(after.Seq, d.bounds.Head)}
	if limit < 0 { // LimitOverflows, LimitCutTo32: as for LIMIT with such a number
		return page, nil
	}
	if s.bug == NextAboveHead {
		page.Next = max(after.Seq, d.bounds.Head+1)
	}
	size, to, full := 0, from, false
	for ; to < len(rows); to++ {
		e := rows[to]
		if s.bug == FilterEndsPage && to-from >= limit || s.full(len(page.Events), limit, size, e) {
			full = s.bug != RowErrorAtLimit || e.Seq != d.bad
			break
		}
		if e.Seq == d.bad {
			ends, err := s.unreadable(to == from, f)
			if err != nil {
				return cdc.Page{}, err
			}
			if ends {
				break
			}
			if s.bug == RowErrorSkips {
				continue
			}
			e = cdc.Event{Seq: e.Seq, Time: e.Time, Type: e.Type}
		}
		if s.selects(f, e) {
			page.Events = append(page.Events, e)
			size += s.counted(f, e)
		}
	}
	if full && to > from {
		page.Next = rows[to-1].Seq
	}
	return s.spoil(page, rows[from:to:to], rows[from:], after, full, f), nil
}

// unreadable says what an event that cannot be read does: it is an error, or it
// ends the page as though nothing followed, or the page goes on.
func (s *Store) unreadable(first bool, f cdc.Filter) (ends bool, err error) {
	switch s.bug {
	case RowErrorSkips, RowErrorEmpty:
		return false, nil
	case RowErrorEnds:
		return true, nil
	case QueryErrorEnds:
		if first {
			return true, nil
		}
	case RowErrorFiltered:
		if !f.Empty() {
			return true, nil
		}
	}
	return false, errFailing
}

func (s *Store) full(n, limit, size int, next cdc.Event) bool {
	switch s.bug {
	case LimitIgnored:
		return false
	case LargeEmptiesPage:
		return n == max(limit, 1) || size+next.Size() > cdc.PageBytes/4
	}
	return n == max(limit, 1) || size >= cdc.PageBytes
}

// spoil is the last line of Read, as it should not be.
func (s *Store) spoil(page cdc.Page, exact, open []cdc.Event, after cdc.Cursor, full bool, f cdc.Filter) cdc.Page {
	n := len(page.Events)
	switch {
	case s.bug == LastOfPageDropped && full && n > 0:
		page.Events = page.Events[:n-1]
	case s.bug == FirstOfNextDropped && full:
		page.Next++
	case s.bug == Unsorted && n > 1:
		page.Events[0], page.Events[n-1] = page.Events[n-1], page.Events[0]
	case s.bug == SharedSlice && f.Empty() && n == len(exact):
		page.Events = open[:n]
	case s.bug == ReusedBuffer:
		s.buffer = append(s.buffer[:0], page.Events...)
		page.Events = s.buffer
	case s.bug == DenseAssumed:
		page.Next = after.Seq + uint64(n)
	case s.bug == FilterEndsPage && n == 0:
		page.Next = after.Seq
	case s.bug == NextAboveRead:
		page.Next = max(page.Next, s.disk.bounds.Head)
	case s.bug == LargeEmptiesPage && n == 0:
		page.Next = after.Seq
	}
	return page
}

// rows are the events that a reader can see.
func (s *Store) rows(f cdc.Filter) []cdc.Event {
	d := s.disk
	rows := d.events
	switch {
	case s.bug == DirtyRead, s.bug == FilterSeesOpen && !f.Empty():
		rows = slices.Concat(rows, d.pending)
		for _, tx := range d.open {
			rows = append(rows, tx.events...)
		}
		sortBySeq(rows)
	case s.bug == TextOrder:
		rows = slices.Clone(rows)
		slices.SortFunc(rows, func(a, b cdc.Event) int {
			return strings.Compare(strconv.FormatUint(a.Seq, 10), strconv.FormatUint(b.Seq, 10))
		})
	case s.bug == BytesCorrupted, s.bug == CutAt64K:
		rows = slices.Clone(rows)
		for i := range rows {
			if s.bug == BytesCorrupted {
				rows[i].Data = bytes.ToValidUTF8(rows[i].Data, []byte("?"))
			} else {
				rows[i].Data = rows[i].Data[:min(len(rows[i].Data), 1<<16-1)]
			}
		}
	case s.bug == MetaLost:
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].Meta = nil
		}
	}
	return rows
}

func sortBySeq(events []cdc.Event) {
	slices.SortFunc(events, func(a, b cdc.Event) int { return cmp.Compare(a.Seq, b.Seq) })
}

func lastSeq(events []cdc.Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}
