package broken

import (
	"context"
	"runtime"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of a trim.
const (
	TrimTakesPending  Bug = "trim removes what waits for an older transaction" // DELETE … WHERE seq <= ?, with the floor kept at the head: a committed event vanished
	TrimToLast        Bug = "trim to the last seq drawn"                       // the head raised to the floor
	TrimForgetsWaits  Bug = "trim forgets the ids of what waits"               // DELETE FROM ids WHERE seq <= ?
	TrimCountsPending Bug = "trim counts what waits"                           // the number of seqs for that of rows
	TrimStopsAt1000   Bug = "trim ends after 1,000 events"                     // DELETE … LIMIT 1000, once
	TrimCountsLast    Bug = "trim counts its last transaction only"            // n = where n += was meant
	TrimRowsFirst     Bug = "trim removes the rows and then raises the floor"  // two statements, each by itself: 7,226 of 16,475 reads at the floor had a hole
	TrimRowsUnseen    Bug = "the same without a look at its context"           // the same in a store without contexts
	TrimStopsBetween  Bug = "trim that its context ends keeps the floor"       // rows in batches, the floor at the end
	TrimErrorIgnored  Bug = "trim that its context ends is no error"           // a break out of the loop
	FloorPerHandle    Bug = "floor by handle"                                  // a floor read when the store was opened
	TrimInSteps       Bug = "trim written in two steps"                        // File: rows in one transaction, the floor in the next
)

func trimMutants() []Mutant {
	return []Mutant{
		{Bug: TrimTakesPending, Layer: Source, Kills: "Resumable/TrimBesideOpen"},
		{Bug: TrimToLast, Layer: Source, Kills: "Resumable/TrimBesideOpen"},
		{Bug: TrimForgetsWaits, Layer: Source, Kills: "Resumable/TrimBesideOpen"},
		{Bug: TrimCountsPending, Layer: Source, Kills: "Resumable/TrimBesideOpen"},
		{Bug: TrimStopsAt1000, Layer: Source, Kills: "Resumable/TrimMany"},
		{Bug: TrimCountsLast, Layer: Source, Kills: "Resumable/TrimMany"},
		{Bug: TrimRowsFirst, Layer: Source, Kills: "Resumable/TrimLookedAt", Real: true},
		{Bug: TrimRowsUnseen, Layer: Source, Kills: "Resumable/TrimAtFloor", Real: true},
		{Bug: TrimStopsBetween, Layer: Source, Kills: "Resumable/TrimContextEnds"},
		{Bug: TrimErrorIgnored, Layer: Source, Kills: "Resumable/TrimContextEnds"},
		{Bug: FloorPerHandle, Layer: Source, Kills: "Resumable/TrimSecondHandle"},
		{Bug: TrimInSteps, Layer: File, Kills: "Durable/KilledTrimming", Real: true},
	}
}

// oddTrim is the Trim of a bug that has one of its own; nil if it has none. The
// disk is locked.
func (s *Store) oddTrim() func(context.Context, uint64) (int, error) {
	switch s.bug {
	case TrimRowsFirst, TrimRowsUnseen, TrimInSteps:
		return s.trimRowsFirst
	case TrimStopsBetween, TrimErrorIgnored, FloorFirst:
		return s.trimOneByOne
	case TrimStopsAt1000:
		return func(_ context.Context, seq uint64) (int, error) {
			n := min(s.disk.search(min(seq, s.disk.bounds.Head)), 1000)
			if n > 0 {
				s.disk.remove(n)
				s.disk.bounds.Floor = seq
			}
			return n, nil
		}
	case TrimToLast:
		return func(_ context.Context, seq uint64) (int, error) {
			d := s.disk
			n := d.search(seq)
			d.remove(n)
			d.bounds.Floor = max(d.bounds.Floor, min(seq, d.bounds.Last))
			d.bounds.Head = max(d.bounds.Head, d.bounds.Floor)
			return n, nil
		}
	}
	return nil
}

// remove forgets the n oldest events.
func (d *Disk) remove(n int) {
	for _, e := range d.events[:n] {
		delete(d.ids, d.idKey(e))
	}
	d.events = slices.Clone(d.events[n:])
}

func (s *Store) trimRowsFirst(ctx context.Context, seq uint64) (int, error) {
	d := s.disk
	seq = min(seq, d.bounds.Head)
	n := d.search(seq)
	d.remove(n)
	if d.journal != nil {
		d.removed(seq)
	}
	d.mu.Unlock()
	if s.bug == TrimRowsUnseen {
		runtime.Gosched()
		d.mu.Lock()
	} else if err := s.enter(ctx); err != nil {
		d.mu.Lock()
		return n, err
	}
	d.bounds.Floor = max(d.bounds.Floor, seq)
	d.changed(nil)
	return n, nil
}

// trimOneByOne looks at the context after each event.
func (s *Store) trimOneByOne(ctx context.Context, seq uint64) (n int, err error) {
	d := s.disk
	seq = min(seq, d.bounds.Head)
	floor := d.bounds.Floor
	if s.bug == FloorFirst {
		d.bounds.Floor = max(floor, seq)
	}
	for d.search(seq) > 0 && err == nil {
		last := d.events[0].Seq
		d.remove(1)
		n++
		if s.bug == TrimErrorIgnored {
			d.bounds.Floor = last
		}
		if err = ctx.Err(); err != nil && s.bug == TrimErrorIgnored {
			return n, nil
		}
	}
	if err == nil {
		d.bounds.Floor = max(floor, seq)
	}
	d.changed(nil)
	return n, err
}

// trimPending is what a trim does to events that wait for an older transaction:
// nothing. It returns how many more it says were removed.
func (d *Disk) trimPending(seq uint64) (n int) {
	for _, e := range d.pending {
		if e.Seq > seq {
			continue
		}
		switch d.bug {
		case TrimCountsPending:
			n++
		case TrimForgetsWaits:
			delete(d.ids, d.idKey(e))
		}
	}
	if d.bug == TrimTakesPending {
		d.pending = slices.DeleteFunc(d.pending, func(e cdc.Event) bool { return e.Seq <= seq })
	}
	if d.bug == TrimCountsLast && n == 0 && len(d.events) > 0 {
		return -1
	}
	return n
}

// commitInSteps writes each event by itself.
func (s *Store) commitInSteps(ctx context.Context, tx *Tx) error {
	events := tx.events
	for _, e := range events {
		tx.events, tx.first = []cdc.Event{e}, e.Seq
		s.disk.decide(tx, true)
		s.disk.mu.Unlock()
		if err := s.enter(ctx); err != nil {
			s.disk.mu.Lock()
			return err
		}
	}
	return nil
}
