package broken

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Tx is an open transaction: its seqs are drawn when it appends.
type Tx struct {
	store  *Store
	events []cdc.Event
	first  uint64
	bound  uint64 // all its seqs are above
	told   bool   // NotifyBeforeCommit
}

// Begin opens a transaction.
func (s *Store) Begin(ctx context.Context) (*Tx, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.disk.mu.Unlock()
	return &Tx{store: s}, nil
}

// Append adds events to the transaction.
func (t *Tx) Append(ctx context.Context, events ...cdc.Event) error {
	if err := cdc.CheckAppend(events, 0); err != nil {
		return err
	}
	if err := t.store.enter(ctx); err != nil {
		return err
	}
	defer t.store.disk.mu.Unlock()
	t.add(events)
	if t.store.bug == NotifyBeforeCommit {
		t.store.disk.publish(t.store, nil)
		t.told = true
	}
	return nil
}

// Commit makes the events part of the log.
func (t *Tx) Commit(context.Context) error { return t.end(true) }

// Rollback forgets them.
func (t *Tx) Rollback(context.Context) error { return t.end(false) }

func (t *Tx) end(commit bool) error {
	d := t.store.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.first > 0 {
		d.decide(t, commit || t.store.bug == RollbackVisible)
	}
	return nil
}

// Append implements [cdc.Appender].
func (s *Store) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	check := events
	if s.bug == SplitAppend && len(events) > 1 {
		return s.split(ctx, events)
	}
	if err := cdc.CheckAppend(check, 0); err != nil {
		return cdc.Receipt{}, err
	}
	if err := s.enter(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer s.disk.mu.Unlock()
	tx := &Tx{store: s}
	r := tx.add(events)
	if tx.first > 0 {
		s.disk.decide(tx, true)
	}
	return r, nil
}

// split appends one event after the other, each for itself.
func (s *Store) split(ctx context.Context, events []cdc.Event) (all cdc.Receipt, err error) {
	all.Duplicate = true
	for i, e := range events {
		r, err := s.Append(ctx, e)
		if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); ok {
			invalid.Index = i
		}
		if err != nil {
			return cdc.Receipt{}, err
		}
		all.Epoch, all.Seqs, all.Duplicate = r.Epoch, append(all.Seqs, r.Seqs...), all.Duplicate && r.Duplicate
	}
	return all, nil
}

// add draws the seqs of the events that are new; the disk is locked.
func (t *Tx) add(events []cdc.Event) cdc.Receipt {
	d, bug := t.store.disk, t.store.bug
	r := cdc.Receipt{Epoch: d.bounds.Epoch, Seqs: make([]uint64, len(events)), Duplicate: len(events) > 0}
	for i, e := range events {
		seq, known := d.ids[e.ID]
		if at := slices.IndexFunc(t.events, func(o cdc.Event) bool { return e.ID != "" && o.ID == e.ID }); at >= 0 {
			seq, known = t.events[at].Seq, true
		}
		if known && (e.ID != "" || bug == EmptyIDKnown) && bug != IDIgnored {
			r.Seqs[i] = seq
			continue
		}
		r.Duplicate = bug == DuplicateAlways
		d.bounds.Last++
		if bug != ArgumentKept {
			e = e.Clone()
		}
		e.Seq, e.Time = d.bounds.Last, time.Now().UTC().Truncate(time.Microsecond)
		if t.first == 0 {
			t.first, t.bound = e.Seq, e.Seq-1
			if bug == SplitByOpen {
				t.bound = d.looked
			}
			d.open = append(d.open, t)
		}
		t.events = append(t.events, e)
		if bug == RolledBackIDKept || bug == EmptyIDKnown {
			d.ids[e.ID] = e.Seq
		}
		r.Seqs[i] = e.Seq
	}
	if bug == DuplicateNever {
		r.Duplicate = false
	}
	return r
}

// decide ends a transaction and makes stable what nothing older holds back.
func (d *Disk) decide(t *Tx, commit bool) {
	d.open = slices.DeleteFunc(d.open, func(o *Tx) bool { return o == t })
	if commit {
		for _, e := range t.events {
			if e.ID != "" {
				d.ids[e.ID] = e.Seq
			}
		}
		d.pending = append(d.pending, t.events...)
	}
	head := d.bounds.Last
	for _, o := range d.open {
		if d.bug != LateCommit && d.bug != NumberedBefore {
			head = min(head, o.bound)
		}
	}
	var stable []cdc.Event
	d.pending = slices.DeleteFunc(d.pending, func(e cdc.Event) bool {
		if e.Seq <= head {
			stable = append(stable, e)
		}
		return e.Seq <= head
	})
	sortBySeq(stable)
	if len(stable) == 0 && head <= d.bounds.Head {
		return
	}
	show := func() {
		d.bounds.Head = max(d.bounds.Head, head)
		d.events = append(d.events[:len(d.events):len(d.events)], stable...)
		if d.bug != NumberedBefore {
			sortBySeq(d.events)
		}
		d.changed(stable)
	}
	if d.bug == NotifyBeforeVisible {
		d.publish(t.store, nil)
		d.late()
		d.parked = show // visible when the readers have looked
		return
	}
	if d.bug == SplitCommit {
		d.bounds.Head = max(d.bounds.Head, head)
		d.oneByOne(t.store, stable)
		return
	}
	show()
	if !commit && d.bug == RollbackSilent || t.told {
		return
	}
	d.publish(t.store, stable)
}

// late does what should have been done before.
func (d *Disk) late() {
	if d.parked != nil {
		d.parked()
		d.parked = nil
	}
}

// oneByOne shows the events of one commit one after the other.
func (d *Disk) oneByOne(s *Store, events []cdc.Event) {
	for _, e := range events {
		d.events = append(d.events, e)
		d.publish(s, []cdc.Event{e})
		d.mu.Unlock()
		time.Sleep(20 * time.Microsecond)
		d.mu.Lock()
	}
}

// Trim implements [cdc.Trimmer].
func (s *Store) Trim(ctx context.Context, seq uint64) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	d := s.disk
	defer d.mu.Unlock()
	if s.bug != TrimAboveHead {
		seq = min(seq, d.bounds.Head)
	}
	if seq <= d.bounds.Floor {
		return 0, nil
	}
	d.bounds.Floor = seq
	n := d.search(seq)
	if s.bug == TrimsOneMore && n < len(d.events) {
		n++
	}
	for _, e := range d.events[:n] {
		if s.bug != TrimmedIDKept {
			delete(d.ids, e.ID)
		}
	}
	d.events = slices.Clone(d.events[n:])
	if s.bug == SeqReusedAfterTrim && len(d.events) == 0 {
		d.bounds.Last, d.bounds.Head, d.bounds.Floor = 0, 0, 0
	}
	d.changed(nil)
	return n, nil
}

// Renew implements [cdc.Renewer].
func (s *Store) Renew(ctx context.Context) (string, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	d := s.disk
	defer d.mu.Unlock()
	d.bounds.Epoch = cdc.NewEpoch()
	switch s.bug {
	case RenewLoses:
		d.events, d.bounds.Floor, d.ids = nil, d.bounds.Head, map[string]uint64{}
	case RenewForgetsIDs:
		d.ids = map[string]uint64{}
	}
	d.changed(nil)
	for handle := range d.handles {
		for sub := range handle.subs {
			if s.bug != RenewSilent {
				sub.fail(&cdc.ResetError{
					Reason: cdc.ReasonEpochChanged, Floor: d.bounds.Floor, Head: d.bounds.Head,
					Resume: cdc.Cursor{Epoch: d.bounds.Epoch, Seq: d.bounds.Head},
				})
			}
		}
	}
	return d.bounds.Epoch, nil
}
