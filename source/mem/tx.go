package memlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// ErrDone is returned by a transaction that was committed or rolled back.
var ErrDone = errors.New("mem: transaction has already been committed or rolled back")

// Tx is a transaction that takes its seqs when it appends, as a SQL sequence
// does: one that began earlier may commit later, and one that rolls back
// leaves holes. Nothing at or above its first seq is stable until it is
// decided. Its methods may not be called concurrently with each other.
type Tx struct {
	log       *Log
	events    []cdc.Event
	seqs      []uint64 // ascending; they stay when events goes
	committed bool
	done      bool
}

// Begin starts a transaction. It takes its place in the order when it first
// appends, and blocks no other.
func (l *Log) Begin(ctx context.Context) (*Tx, error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	return &Tx{log: l}, nil
}

// Append adds events to the transaction. The receipt holds once Commit has
// returned nil.
func (t *Tx) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	if err := cdc.CheckAppend(events, cdc.DefaultMaxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	if err := t.log.enter(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer t.log.mu.Unlock()
	if t.done {
		return cdc.Receipt{}, ErrDone
	}
	return t.add(events), nil
}

// Commit makes the events stable, all at once, as soon as every transaction
// with lower seqs, or with seqs between theirs, is decided. If another one has
// committed an event with the same ID since, Commit rolls back and returns an
// error, as a unique index would have it.
func (t *Tx) Commit() error { return t.end(true) }

// Rollback forgets the events.
func (t *Tx) Rollback() error { return t.end(false) }

func (t *Tx) end(commit bool) error {
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.done {
		return ErrDone
	}
	if l.closed {
		return cdc.ErrClosed
	}
	for _, e := range t.events {
		if _, taken := l.ids[e.ID]; commit && taken && e.ID != "" {
			l.decide(t)
			return fmt.Errorf("mem: commit: ID %q was appended by another transaction: rolled back", e.ID)
		}
	}
	t.committed = commit
	l.decide(t)
	return nil
}

// add takes seqs for the events that are new; l.mu is held.
func (t *Tx) add(events []cdc.Event) cdc.Receipt {
	l := t.log
	r := cdc.Receipt{Epoch: l.bounds.Epoch, Seqs: make([]uint64, len(events)), Duplicate: len(events) > 0}
	at := now()
	for i, e := range events {
		if seq, ok := t.find(e.ID); ok {
			r.Seqs[i] = seq
			continue
		}
		r.Duplicate = false
		l.bounds.Last++
		e = e.Clone()
		e.Seq, e.Time = l.bounds.Last, at
		r.Seqs[i] = e.Seq
		if len(t.seqs) == 0 {
			l.open = append(l.open, t)
		}
		t.events = append(t.events, e)
		t.seqs = append(t.seqs, e.Seq)
	}
	return r
}

// find returns the seq of the event with that ID, in the log or in the
// transaction itself; l.mu is held.
func (t *Tx) find(id string) (uint64, bool) {
	if id == "" {
		return 0, false
	}
	if seq, ok := t.log.ids[id]; ok {
		return seq, true
	}
	i := slices.IndexFunc(t.events, func(e cdc.Event) bool { return e.ID == id })
	if i < 0 {
		return 0, false
	}
	return t.events[i].Seq, true
}

// decide ends the transaction and makes stable what no undecided one holds
// back; l.mu is held.
func (l *Log) decide(t *Tx) {
	t.done = true
	if !t.committed {
		t.events = nil
	}
	for _, e := range t.events {
		if e.ID != "" {
			l.ids[e.ID] = e.Seq
		}
	}
	head := l.stable()
	if head <= l.bounds.Head {
		return
	}
	l.bounds.Head = head

	var stable []cdc.Event
	below := func(o *Tx) bool { return o.done && (len(o.events) == 0 || o.events[0].Seq <= head) }
	for _, o := range l.open {
		if below(o) {
			stable = append(stable, o.events...)
		}
	}
	l.open = slices.DeleteFunc(l.open, below)
	slices.SortFunc(stable, func(a, b cdc.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	l.events = append(l.events, stable...)
	for s := range l.subs {
		s.publish(stable)
	}
}

// stable is the highest seq below all that undecided transactions have taken
// which has no transaction's events on both sides: they become visible
// together. l.mu is held.
func (l *Log) stable() uint64 {
	head := l.bounds.Last
	for _, o := range l.open {
		if !o.done {
			head = min(head, o.seqs[0]-1)
		}
	}
	split := func(o *Tx) bool {
		return o.done && len(o.events) > 0 && o.events[0].Seq <= head && head < o.events[len(o.events)-1].Seq
	}
	for i := slices.IndexFunc(l.open, split); i >= 0; i = slices.IndexFunc(l.open, split) {
		head = l.open[i].events[0].Seq - 1
	}
	return head
}
