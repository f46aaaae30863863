package boltlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// One commit takes at most about this much, so that the first caller in it
	// does not wait for ever more to join.
	commitOps   = 4096
	commitBytes = 16 << 20

	// commitGrace is how long a caller whose ctx has ended waits for a commit
	// that is under way: long enough for an fsync, so that an unknown outcome
	// is rare.
	commitGrace = time.Second
)

var (
	// errUnderWay: ctx ended during a commit that did not end within commitGrace.
	errUnderWay = errors.New("the commit was still under way")
	// errCommit: bbolt's commit failed where it may have been written.
	errCommit = errors.New("the commit failed")
)

// op is one caller's part of a shared commit.
type op struct {
	// run does the work in the transaction, alone or between others. It may be
	// called again after a rollback.
	run   func(v *view) error
	bytes int
	done  chan error // gets the one outcome; has room for it
}

// submit has run called in a write transaction that is shared with other
// callers, and returns when that is committed. If ctx ends before the
// transaction has begun, run was not called and the error is ctx's cause.
func (l *Log) submit(ctx context.Context, bytes int, run func(v *view) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	o := &op{run: run, bytes: bytes, done: make(chan error, 1)}
	if err := l.enqueue(o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
	}
	if l.withdraw(o) {
		return context.Cause(ctx)
	}
	grace := time.NewTimer(commitGrace)
	defer grace.Stop()
	select {
	case err := <-o.done:
		return err
	case <-grace.C:
		return fmt.Errorf("%w %v after the context had ended: %w", errUnderWay, commitGrace, context.Cause(ctx))
	}
}

func (l *Log) enqueue(o *op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.aliveLocked(); err != nil {
		return err
	}
	l.queue = append(l.queue, o)
	if !l.committing {
		l.committing = true
		l.running.Go(l.commitLoop)
	}
	return nil
}

// withdraw reports whether the op was still in the queue, and takes it out.
func (l *Log) withdraw(o *op) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, o)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// take removes from the queue what still fits into a commit that holds batch,
// and appends it to batch. An empty batch gets one op whatever its size.
func (l *Log) take(batch []*op, bytes *int) []*op {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, o := range l.queue {
		if len(batch) > 0 && (len(batch) >= commitOps || *bytes+o.bytes > commitBytes) {
			break
		}
		batch = append(batch, o)
		*bytes += o.bytes
		n++
	}
	l.queue = slices.Delete(l.queue, 0, n)
	return batch
}

// commitLoop commits what is in the queue until that is empty. There is at
// most one, and none while nobody appends.
func (l *Log) commitLoop() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.committing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.commitQueued()
	}
}

// commitQueued makes one commit, of whatever is in the queue once bbolt's
// write lock is won, and of what arrives until it is written.
func (l *Log) commitQueued() {
	var batch []*op
	size := 0
	err := l.transact(func(v *view) error {
		done := 0
		for {
			if batch = l.take(batch, &size); len(batch) == done {
				return nil
			}
			for ; done < len(batch); done++ {
				if err := batch[done].run(v); err != nil {
					return err
				}
			}
		}
	})
	if len(batch) == 0 { // no transaction, or all have withdrawn
		if err != nil {
			batch = l.take(nil, &size)
		}
	}
	if len(batch) > 1 && err != nil && !errors.Is(err, errCommit) {
		// Nothing was written: each gets an outcome of its own.
		for _, o := range batch {
			o.done <- l.transact(o.run)
		}
		return
	}
	for _, o := range batch {
		o.done <- err
	}
}

// transact runs fn in a write transaction, commits it and wakes the
// subscriptions. An error that is not errCommit means that nothing was written.
func (l *Log) transact(fn func(v *view) error) error {
	tx, err := l.db.Begin(true)
	if err != nil {
		return l.explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it says only that
	v, err := l.in(tx)
	if err != nil {
		return err
	}
	if err := fn(v); err != nil {
		return err
	}
	if v.clean {
		return nil
	}
	if err := v.save(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return explainCommit(err)
	}
	l.wake.Notify()
	return nil
}

// explainCommit tells a commit that was refused from one that may have been
// written: bbolt does not say which of its writes failed.
func explainCommit(err error) error {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return fmt.Errorf("the file has reached the DB's MaxSize: trim the log, or raise it: %w", err)
	}
	return fmt.Errorf("%w: check the disk: %w", errCommit, err)
}

// inCallers finds the log in a write transaction of the caller.
func (l *Log) inCallers(tx *bbolt.Tx) (*view, error) {
	switch {
	case tx == nil || tx.DB() == nil:
		return nil, fmt.Errorf("the transaction has ended: %w", berrors.ErrTxClosed)
	case tx.DB() != l.db:
		return nil, fmt.Errorf("the transaction is of another DB (%s): begin one on this log's (%s)", tx.DB().Path(), l.db.Path())
	case !tx.Writable():
		return nil, fmt.Errorf("the transaction is read-only: use db.Update: %w", berrors.ErrTxNotWritable)
	}
	return l.in(tx)
}
