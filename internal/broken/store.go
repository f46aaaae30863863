package broken

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Disk is what outlives a process: the store of one place.
type Disk struct {
	bug Bug

	mu       sync.Mutex
	bounds   cdc.Bounds
	events   []cdc.Event // stable, ascending, above the floor
	pending  []cdc.Event // committed, but an older transaction is open
	ids      map[string]uint64
	open     []*Tx
	unsaved  []cdc.Event // became stable by a rollback: HeldBackLost
	first    string      // the first epoch
	restarts int         // since the last append
	held     []cdc.Event // RestAtNextCommit
	looked   uint64      // SplitByOpen: Last when somebody looked
	handles  map[*Store]struct{}
	writers  map[uint64]uint64 // by seq, the first seq of its transaction: LiveByWriter
	failing  bool
	bad      uint64        // seq of the event that cannot be read
	locked   chan struct{} // not nil while somebody has the store for himself; closed when he lets go
	parked   func()        // wakes that are late

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
	return &Disk{bug: bug, first: epoch, bounds: cdc.Bounds{Epoch: epoch}, ids: map[string]uint64{}, handles: map[*Store]struct{}{}, writers: map[uint64]uint64{}}
}

// Open opens a handle, as a process would. The first after all others were
// closed is a restart.
func (d *Disk) Open() *Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.handles) == 0 {
		d.restart()
		d.oddRestart()
		d.restartBeside()
	}
	s := &Store{disk: d, bug: d.bug, subs: map[*subscription]struct{}{}, appended: map[string]bool{}, pages: map[string]cdc.Page{}, opened: d.bounds}
	d.handles[s] = struct{}{}
	return s
}

// restart is what goes wrong when a store is opened again.
func (d *Disk) restart() {
	if err := d.load(); err != nil {
		panic(err)
	}
	switch {
	case d.bug == LastJumps:
		d.bounds.Last += 100
	case d.bug == HeadJumps:
		d.bounds.Last += 100
		d.bounds.Head = d.bounds.Last
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

// Lock takes the store until the func that it returns is called.
func (d *Disk) Lock() (unlock func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	locked := make(chan struct{})
	d.locked = locked
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked = nil
		close(locked)
	}
}

// BreakEvent makes every read of the event fail until the func that it returns
// is called.
func (d *Disk) BreakEvent(seq uint64) (mend func()) {
	set := func(seq uint64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.bad = seq
	}
	set(seq)
	return func() { set(0) }
}

// Store is a handle on a Disk: the correct reference, but for its bug.
type Store struct {
	disk *Disk
	bug  Bug

	// All guarded by the disk's mutex.
	subs   map[*subscription]struct{}
	closed bool

	appended map[string]bool     // IDsPerHandle
	buffer   []cdc.Event         // ReusedBuffer, FilterReuses
	pages    map[string]cdc.Page // FilterCached
	cached   cdc.Bounds          // HeadCached, EpochSwapped
	opened   cdc.Bounds          // when the handle was opened: EpochPerHandle, FloorPerHandle
}

var errFailing = errors.New("broken: the store cannot be read")

func (s *Store) enter(ctx context.Context) error {
	if ctx.Err() != nil && s.bug != ContextIgnored {
		return context.Cause(ctx)
	}
	s.disk.mu.Lock()
	for s.disk.locked != nil {
		if err := s.waitForLock(ctx); err != nil {
			return err
		}
	}
	if s.closed && s.bug != ClosedGoesOn {
		s.disk.mu.Unlock()
		if s.bug == ClosedUntyped {
			return errors.New("broken: file already closed")
		}
		return cdc.ErrClosed
	}
	return nil
}

// waitForLock lets go of the mutex while somebody has the store for himself.
// With an error the mutex is free.
func (s *Store) waitForLock(ctx context.Context) error {
	locked, done := s.disk.locked, ctx.Done()
	s.disk.mu.Unlock()
	if s.bug == LockIgnoresContext {
		done = nil
	}
	select {
	case <-locked:
		s.disk.mu.Lock()
		return nil
	case <-done:
		return context.Cause(ctx)
	}
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
	s.closeOthers()
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
	if s.disk.failing && s.bug == BoundsErrorIsZero {
		return cdc.Bounds{Epoch: s.disk.bounds.Epoch}, nil
	}
	if s.disk.failing {
		return cdc.Bounds{}, errFailing
	}
	if s.bug == CutBoundsAreZero && ctx.Err() != nil {
		return cdc.Bounds{}, nil
	}
	b := s.seen()
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
	switch s.bug {
	case EpochSwapped:
		s.cached = b
	case ReceiptEpochSeen:
		s.opened = b
	}
	return b, nil
}
