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
	told   bool   // NotifyBeforeCommit: its subscribers were woken
	known  bool   // it was given an ID that the log has

	unchecked bool // IDs were looked up before, without the lock
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
	if err := t.store.refuses(events, true); err != nil {
		return err
	}
	if err := t.store.enter(ctx); err != nil {
		return err
	}
	defer t.store.disk.mu.Unlock()
	t.unchecked = t.store.bug == TxIgnoresIDs
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
	if t.first == 0 {
		return nil
	}
	var err error
	if commit && t.store.bug != TxCommitsTwice && t.store.bug != TxIgnoresIDs && t.store.bug != IDIgnored && slices.ContainsFunc(t.events, func(e cdc.Event) bool { _, known := t.store.known(e); return known && e.ID != "" }) {
		commit, err = false, errTwice
	}
	d.decide(t, commit || t.store.bug == RollbackVisible)
	return err
}

var errTwice = errors.New("broken: another transaction has committed an event of this ID")

// Append implements [cdc.Appender].
func (s *Store) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	switch {
	case s.bug == SplitAppend && len(events) > 1:
		return s.split(ctx, events)
	case s.bug == AppendInHundreds && len(events) >= 1000:
		return s.appendInHundreds(ctx, events)
	}
	if err := s.refuses(events, false); err != nil {
		return cdc.Receipt{}, err
	}
	if len(events) == 0 && s.bug == EmptyErrors {
		return cdc.Receipt{}, errors.New("broken: no rows were affected")
	}
	if err := s.enterToWrite(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer s.disk.mu.Unlock()
	tx := &Tx{store: s}
	events, cut := s.cutAppend(ctx, events)
	if s.bug == IDCheckedBefore {
		tx.unchecked = !slices.ContainsFunc(events, func(e cdc.Event) bool { _, known := s.known(e); return known })
		s.disk.mu.Unlock()
		time.Sleep(20 * time.Microsecond)
		s.disk.mu.Lock()
	}
	r := tx.add(events)
	if s.bug == AppendInSteps && len(tx.events) > 1 {
		return r, s.commitInSteps(ctx, tx)
	}
	if tx.first > 0 {
		s.disk.decide(tx, true)
	}
	if s.bug == KnownPublished {
		s.disk.publishAgain(s, r)
	}
	if s.bug == CutAppendErrs {
		cut = ctx.Err()
	}
	return r, cut
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
	s, d, bug := t.store, t.store.disk, t.store.bug
	r := cdc.Receipt{Epoch: s.epochOfReceipt(), Seqs: make([]uint64, len(events)), Duplicate: len(events) > 0}
	for i, e := range events {
		seq, known := s.known(e)
		if at := slices.IndexFunc(t.events, func(o cdc.Event) bool { return e.ID != "" && d.idKey(o) == d.idKey(e) }); at >= 0 {
			seq, known = t.events[at].Seq, true
		}
		known = known && !t.unchecked
		if at, same := s.sameContents(e); same {
			seq, known, e.ID = at, true, "same"
		}
		if known && (e.ID != "" || bug == EmptyIDKnown) && bug != IDIgnored {
			t.known = true
			d.overwrite(seq, e)
			r.Seqs[i] = seq
			continue
		}
		r.Duplicate = bug == DuplicateAlways
		d.bounds.Last++
		if bug == StepsOfSeven {
			d.bounds.Last += 6
		}
		if bug != ArgumentKept {
			e = e.Clone()
		}
		e = s.stored(e, d.bounds.Last)
		if t.first == 0 {
			t.first, t.bound = e.Seq, e.Seq-1
			if bug == SplitByOpen {
				t.bound = d.looked
			}
			d.open = append(d.open, t)
		}
		t.events = append(t.events, e)
		s.appended[e.ID] = true
		if bug == RolledBackIDKept || bug == EmptyIDKnown {
			d.ids[d.idKey(e)] = e.Seq
		}
		r.Seqs[i] = e.Seq
	}
	return d.spoilReceipt(r, len(events))
}

// spoilReceipt is the receipt of an append of n events, as it should not be.
func (d *Disk) spoilReceipt(r cdc.Receipt, n int) cdc.Receipt {
	switch {
	case d.bug == DuplicateNever:
		r.Duplicate = false
	case d.bug == EmptyIsDuplicate && n == 0:
		r.Duplicate = true
	case d.bug == ReceiptKnownEpoch && r.Duplicate:
		r.Epoch = d.first
	case d.bug == EmptyNumbers && n == 0:
		d.bounds.Last++
		d.bounds.Head++
	}
	return r
}

// stored is the event as it is kept.
func (s *Store) stored(e cdc.Event, seq uint64) cdc.Event {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if s.bug != TimeOfArgument || e.Time.IsZero() {
		e.Time = now
	}
	if s.bug != SeqOfArgument || e.Seq <= seq {
		e.Seq = seq
	}
	s.disk.bounds.Last = max(s.disk.bounds.Last, e.Seq)
	e = s.kept(e)
	switch {
	case s.bug == NilDataIsNull && e.Data == nil:
		e.Data = []byte("null")
	case s.bug == EmptyDataIsObject && len(e.Data) == 0:
		e.Data = []byte("{}")
	}
	return e
}

// decide ends a transaction and makes stable what nothing older holds back.
func (d *Disk) decide(t *Tx, commit bool) {
	d.open = slices.DeleteFunc(d.open, func(o *Tx) bool { return o == t })
	if commit {
		for _, e := range t.events {
			if e.ID != "" {
				d.ids[d.idKey(e)] = e.Seq
			}
		}
		d.forgetIDs()
		for _, e := range t.events {
			d.writers[e.Seq] = t.first
		}
		d.pending = append(d.pending, t.events...)
	}
	head, stable := d.settled()
	if !commit {
		d.unsaved = append(d.unsaved, stable...)
	}
	if len(stable) == 0 && head <= d.bounds.Head {
		return
	}
	switch d.bug {
	case NotifyBeforeVisible:
		d.publish(t.store, nil)
		d.late()
		d.parked = func() { d.show(head, stable) } // visible when the readers have looked
		return
	case SplitCommit:
		d.bounds.Head = max(d.bounds.Head, head)
		d.oneByOne(t.store, stable)
		return
	}
	d.show(head, stable)
	if !commit && d.bug == RollbackSilent || t.told {
		return
	}
	d.announce(t.store, stable, commit, t.known)
}

// settled returns the head that the open transactions allow, and the pending
// events at or below it, which are pending no longer.
func (d *Disk) settled() (head uint64, stable []cdc.Event) {
	head = d.bounds.Last
	for _, o := range d.open {
		if d.bug != LateCommit && d.bug != NumberedBefore {
			head = min(head, o.bound)
		}
	}
	if d.bug == WaitsForAll && len(d.open) > 0 {
		head = d.bounds.Head
	}
	d.pending = slices.DeleteFunc(d.pending, func(e cdc.Event) bool {
		if e.Seq <= head {
			stable = append(stable, e)
		}
		return e.Seq <= head
	})
	sortBySeq(stable)
	return head, stable
}

// show makes the events visible.
func (d *Disk) show(head uint64, stable []cdc.Event) {
	d.bounds.Head = max(d.bounds.Head, head)
	d.events = append(d.events[:len(d.events):len(d.events)], stable...)
	if d.bug != NumberedBefore {
		sortBySeq(d.events)
	}
	d.changed(stable)
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
	if err := s.enterToWrite(ctx); err != nil {
		return 0, err
	}
	d := s.disk
	defer d.mu.Unlock()
	if trim := s.oddTrim(); trim != nil {
		return trim(ctx, seq)
	}
	asked := seq
	seq, n, err := s.trimsTo(seq)
	if err != nil || seq <= d.bounds.Floor && s.bug != TrimLowersFloor {
		return 0, err
	}
	d.bounds.Floor = seq
	for _, e := range d.events[:n] {
		if s.bug != TrimmedIDKept {
			delete(d.ids, d.idKey(e))
		}
	}
	d.trimmedIDs(d.events[:n])
	d.trimUnread(seq)
	if s.bug == TrimForgetsIDs {
		d.ids = map[string]uint64{}
	}
	d.events = slices.Clone(d.events[n:])
	if s.bug == SeqReusedAfterTrim && len(d.events) == 0 {
		d.bounds.Last, d.bounds.Head, d.bounds.Floor = 0, 0, 0
	}
	d.changed(nil)
	return n + d.trimPending(asked), nil
}

// trimsTo returns the new floor and how many events are at or below it.
func (s *Store) trimsTo(seq uint64) (floor uint64, n int, err error) {
	d := s.disk
	switch {
	case s.bug == TrimZeroIsAll && seq == 0:
		seq = d.bounds.Head
	case s.bug == TrimOverflows:
		seq = uint64(max(0, int64(seq)))
	case s.bug == TrimCutTo32:
		seq = uint64(uint32(seq))
	}
	if s.bug != TrimAboveHead {
		seq = min(seq, d.bounds.Head)
	}
	if s.bug == TrimNothingErrors && seq <= d.bounds.Floor {
		return 0, 0, errors.New("broken: nothing was removed")
	}
	n = d.search(seq)
	inHole := n == 0 || d.events[n-1].Seq != seq
	switch {
	case s.bug == TrimNeedsEvent && inHole:
		return 0, 0, nil
	case s.bug == TrimsOneMore && n < len(d.events), s.bug == TrimTakesNext && inHole && n < len(d.events):
		n++
	}
	return seq, n, nil
}

// Renew implements [cdc.Renewer].
func (s *Store) Renew(ctx context.Context) (string, error) {
	if err := s.enterToWrite(ctx); err != nil {
		return "", err
	}
	d := s.disk
	defer d.mu.Unlock()
	old := d.bounds.Epoch
	if s.bug == RenewInSteps || s.bug == RenewWritten {
		if err := s.renewInSteps(ctx); err != nil {
			return "", err
		}
	}
	d.bounds.Epoch = cdc.NewEpoch()
	s.spoilRenewed(old)
	d.renewBeside()
	d.changed(nil)
	if s.bug == RenewToldLate && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	d.tellRenewed(s)
	if s.bug == RenewReturnsOld {
		return old, nil
	}
	return d.bounds.Epoch, nil
}
