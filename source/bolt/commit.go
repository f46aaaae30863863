package boltlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// One commit takes at most about this much, so that the first caller in it
	// does not wait for ever more to join.
	commitOperations = 4096
	commitBytes      = 16 << 20

	// commitGrace is how long a caller whose ctx has ended waits for a commit
	// that is under way: long enough for an fsync, so that an unknown outcome
	// is rare.
	commitGrace = time.Second
)

// operation is one caller's part of a shared commit.
type operation struct {
	log    *Log
	create bool // the log's bucket, if there is none

	// run does the work in the transaction, alone or between others. It may be
	// called again after a rollback.
	run   func(v *view) error
	bytes int
	done  chan error // gets the one outcome; has room for it
}

// submit has o.run called in a write transaction that is shared with other
// callers, and returns when that is committed. If ctx ends before the
// transaction has begun, run was not called and the error is ctx's cause.
func (l *Log) submit(ctx context.Context, o *operation) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.store.insideHandler(ctx) {
		return errInHandler
	}
	o.done = make(chan error, 1)
	if err := l.store.enqueue(o); err != nil {
		return err
	}
	patience := commitGrace
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
	case <-l.ended:
		patience = closeGrace
	}
	if l.store.withdraw(o) {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-o.done:
		return err
	case <-timer.C:
	}
	if err := l.alive(); err != nil {
		return fmt.Errorf("%w %v after Close: %w", errUnderWay, patience, err)
	}
	return fmt.Errorf("%w %v after the context had ended: %w", errUnderWay, patience, context.Cause(ctx))
}

func (s *Store) enqueue(o *operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := o.log.aliveLocked(); err != nil {
		return err
	}
	s.queue = append(s.queue, o)
	if !s.committing {
		s.committing = true
		go s.commitLoop() // Close waits for each commit, by Log.inCommit
	}
	return nil
}

// withdraw reports whether the operation was still in the queue, and takes it out.
func (s *Store) withdraw(o *operation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, o)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// commitLoop commits what is in the queue until that is empty. There is at
// most one, and none while nobody appends.
func (s *Store) commitLoop() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.committing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.commitQueued()
	}
}

// commitQueued makes one commit, of whatever is in the queue once bbolt's
// write lock is won, and of what arrives until it is written.
func (s *Store) commitQueued() {
	var b batch
	err := s.transact(&b, func() error {
		for ran := 0; s.take(&b); {
			for ; ran < len(b.operations); ran++ {
				if err := b.run(b.operations[ran]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil && len(b.operations) == 0 { // there was no transaction
		s.take(&b)
	}
	share := len(b.operations) > 1 && err != nil && !errors.Is(err, errCommit)
	for _, o := range b.operations {
		outcome := err
		if share { // nothing was written: each gets an outcome of its own
			alone := batch{}
			outcome = s.transact(&alone, func() error { return alone.run(o) })
		}
		o.done <- outcome
		o.log.inCommit.Done()
	}
}

// take moves from the queue to the batch what still fits into its commit, and
// reports whether that was anything. An empty batch gets one operation whatever
// its size.
func (s *Store) take(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, o := range s.queue {
		if len(b.operations) > 0 && (len(b.operations) >= commitOperations || b.bytes+o.bytes > commitBytes) {
			break
		}
		o.log.inCommit.Add(1)
		b.operations = append(b.operations, o)
		b.bytes += o.bytes
		n++
	}
	s.queue = slices.Delete(s.queue, 0, n)
	return n > 0
}

// batch is one write transaction of many callers.
type batch struct {
	tx         *bbolt.Tx
	views      map[string]*view // by the name of the log
	operations []*operation
	bytes      int
}

// transact runs fn in a write transaction, commits it if there is something to
// write and wakes the subscriptions. An error that is not errCommit means that
// nothing was written.
func (s *Store) transact(b *batch, fn func() error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.explainBegin(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it says only that
	b.tx, b.views = tx, map[string]*view{}
	if err := fn(); err != nil {
		return err
	}
	changed := false
	for _, v := range b.views {
		if changed = changed || v.changed; v.changed {
			if err := v.save(); err != nil {
				return err
			}
		}
	}
	if !changed {
		return nil
	}
	if err := tx.Commit(); err != nil {
		return explainCommit(err)
	}
	for name, v := range b.views {
		if v.changed {
			s.notify(name)
		}
	}
	return nil
}

// run does one operation on the view that its log has in this transaction.
func (b *batch) run(o *operation) error {
	v := b.views[string(o.log.name)]
	if v == nil {
		var err error
		if v, err = o.log.viewIn(b.tx, o.create); err != nil {
			return err
		}
		b.views[string(o.log.name)] = v
	}
	v.events.FillPercent = o.log.opts.FillPercent // of this Log: another of the name may have its own
	return o.run(v)
}
