package broken

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Disk is what outlives a process: the store of one place.
type Disk struct {
	bug Bug

	mu      sync.Mutex
	bounds  cdc.Bounds
	events  []cdc.Event // stable, ascending, above the floor
	pending []cdc.Event // committed, but an older transaction is open
	ids     map[string]uint64
	open    []*Tx
	looked  uint64 // SplitByOpen: Last when somebody looked
	handles map[*Store]struct{}
	failing bool
	parked  func() // wakes that are late

	// Of a Disk that is kept in a file.
	path    string
	journal *journal   // nil while no handle is open
	saved   cdc.Bounds // BoundsAtClose
}

// NewDisk returns an empty store with the bug in it.
func NewDisk(bug Bug) *Disk {
	epoch := cdc.NewEpoch()
	if bug == EpochConstant {
		epoch = "change_log"
	}
	return &Disk{bug: bug, bounds: cdc.Bounds{Epoch: epoch}, ids: map[string]uint64{}, handles: map[*Store]struct{}{}}
}

// Open opens a handle, as a process would. The first after all others were
// closed is a restart.
func (d *Disk) Open() *Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.handles) == 0 {
		d.restart()
	}
	s := &Store{disk: d, bug: d.bug, subs: map[*subscription]struct{}{}}
	d.handles[s] = struct{}{}
	return s
}

// restart is what goes wrong when a store is opened again.
func (d *Disk) restart() {
	if err := d.load(); err != nil {
		panic(err)
	}
	switch {
	case d.bug == LastLostOnRestart && len(d.events) > 0:
		d.events = d.events[:len(d.events)-1]
	case d.bug == SeqResetOnRestart:
		d.bounds.Last, d.bounds.Head = uint64(len(d.events)), uint64(len(d.events))
	case d.bug == FloorForgotten:
		d.bounds.Floor = 0
	case d.bug == EpochNewOnRestart:
		d.bounds.Epoch = cdc.NewEpoch()
	case d.bug == IDsForgotten:
		d.ids = map[string]uint64{}
	case d.bug == TimeRounded:
		for i := range d.events {
			d.events[i].Time = d.events[i].Time.Truncate(time.Millisecond)
		}
	}
}

// Rewind takes the store back to what it was at seq.
func (d *Disk) Rewind(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = slices.DeleteFunc(slices.Clone(d.events), func(e cdc.Event) bool { return e.Seq > seq })
	d.bounds.Head, d.bounds.Last = seq, seq
	for id, at := range d.ids {
		if at > seq {
			delete(d.ids, id)
		}
	}
	d.changed(nil)
}

// Break makes every read fail until the func that it returns is called.
func (d *Disk) Break() (mend func()) {
	set := func(failing bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failing = failing
	}
	set(true)
	return func() { set(false) }
}

// Store is a handle on a Disk: the correct reference, but for its bug.
type Store struct {
	disk *Disk
	bug  Bug

	// All guarded by the disk's mutex.
	subs   map[*subscription]struct{}
	closed bool
	buffer []cdc.Event // ReusedBuffer
	cached cdc.Bounds  // HeadCached, EpochSwapped
}

var errFailing = errors.New("broken: the store cannot be read")

func (s *Store) enter(ctx context.Context) error {
	if ctx.Err() != nil && s.bug != ContextIgnored {
		return context.Cause(ctx)
	}
	s.disk.mu.Lock()
	if s.closed {
		s.disk.mu.Unlock()
		return cdc.ErrClosed
	}
	return nil
}

// Close ends the handle.
func (s *Store) Close() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.closed = true
	delete(s.disk.handles, s)
	for sub := range s.subs {
		if s.bug != CloseLeavesNext {
			sub.fail(cdc.ErrClosed)
		}
	}
	if len(s.disk.handles) == 0 {
		s.disk.closeFile()
	}
	return nil
}

// Bounds implements [cdc.Source].
func (s *Store) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if err := s.enter(ctx); err != nil {
		return cdc.Bounds{}, err
	}
	defer s.disk.mu.Unlock()
	if s.disk.failing {
		return cdc.Bounds{}, errFailing
	}
	b := s.disk.bounds
	s.disk.looked = b.Last
	switch s.bug {
	case HeadFromRows:
		b.Head = lastSeq(s.disk.events)
		b.Floor = min(b.Floor, b.Head)
	case HeadUncommitted:
		b.Head = b.Last
	case LastIsHead:
		b.Last = b.Head
	case HeadCached:
		b, s.cached = s.cached, b
		if b.Epoch == "" {
			b = s.cached
		}
	}
	if s.bug == EpochSwapped {
		s.cached = b
	}
	return b, nil
}

// Read implements [cdc.Source].
func (s *Store) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return s.ReadFiltered(ctx, after, limit, cdc.Filter{})
}

// ReadFiltered implements [cdc.FilterReader].
func (s *Store) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
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
	if err := s.check(after); err != nil {
		return cdc.Page{}, err
	}
	if s.bug == TrimJumps {
		s.disk.mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		s.disk.mu.Lock()
	}
	return s.page(after, limit, f), nil
}

// check refuses what cannot be resumed.
func (s *Store) check(after cdc.Cursor) error {
	b := s.disk.bounds
	asked := after
	switch {
	case s.bug == EpochIgnored:
		asked.Epoch = b.Epoch
	case s.bug == EpochSwapped && after.Epoch == s.cached.Epoch:
		asked.Epoch = b.Epoch
	case s.bug == SilentTruncation && after.Seq < b.Floor,
		s.bug == TruncationLow && after.Seq+1 == b.Floor:
		asked.Seq = b.Floor
	case s.bug == TruncationHigh && after.Seq == b.Floor && b.Floor > 0:
		asked.Seq--
	case s.bug == FutureAccepted:
		asked.Seq = min(asked.Seq, b.Last)
	}
	if err := b.Check(asked); err != nil {
		if s.bug == UntypedReset {
			return errors.New(err.Error())
		}
		return err
	}
	if s.bug == TagIgnored {
		return nil
	}
	var at *cdc.Event
	i := s.disk.search(asked.Seq)
	if i > 0 && s.disk.events[i-1].Seq == asked.Seq {
		at = &s.disk.events[i-1]
	}
	return b.CheckTag(asked, at)
}

func (d *Disk) search(seq uint64) int {
	i, _ := slices.BinarySearchFunc(d.events, seq+1, func(e cdc.Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	return i
}

// page is what follows the cursor.
func (s *Store) page(after cdc.Cursor, limit int, f cdc.Filter) cdc.Page {
	d := s.disk
	rows := s.rows()
	from := slices.IndexFunc(rows, func(e cdc.Event) bool { return e.Seq > after.Seq })
	if s.bug == InclusiveAfter {
		from = slices.IndexFunc(rows, func(e cdc.Event) bool { return e.Seq >= after.Seq })
	}
	if from < 0 {
		from = len(rows)
	}
	page := cdc.Page{Next: max(after.Seq, d.bounds.Head)}
	if s.bug == NextAboveHead {
		page.Next = max(after.Seq, d.bounds.Head+1)
	}
	size, to, full := 0, from, false
	for ; to < len(rows); to++ {
		e := rows[to]
		if s.bug == FilterEndsPage && to-from >= limit || s.full(len(page.Events), limit, size, e) {
			full = true
			break
		}
		if f.Match(e) {
			page.Events = append(page.Events, e)
			size += e.Size()
		}
	}
	if full && to > from {
		page.Next = rows[to-1].Seq
	}
	return s.spoil(page, rows[from:to:to], rows[from:], after, full, f)
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
func (s *Store) rows() []cdc.Event {
	d := s.disk
	rows := d.events
	switch s.bug {
	case DirtyRead:
		rows = slices.Concat(rows, d.pending)
		for _, tx := range d.open {
			rows = append(rows, tx.events...)
		}
		sortBySeq(rows)
	case TextOrder:
		rows = slices.Clone(rows)
		slices.SortFunc(rows, func(a, b cdc.Event) int {
			return strings.Compare(strconv.FormatUint(a.Seq, 10), strconv.FormatUint(b.Seq, 10))
		})
	case BytesCorrupted, CutAt64K:
		rows = slices.Clone(rows)
		for i := range rows {
			if s.bug == BytesCorrupted {
				rows[i].Data = bytes.ToValidUTF8(rows[i].Data, []byte("?"))
			} else {
				rows[i].Data = rows[i].Data[:min(len(rows[i].Data), 1<<16-1)]
			}
		}
	case MetaLost:
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
