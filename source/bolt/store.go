package boltlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
)

// closeGrace is how long Close waits for a commit that is under way and for the
// file: long enough for the fsync of a slow disk.
const closeGrace = 5 * time.Second

// Store is a DB and what the logs in it share: one committer, so that appends
// to different logs share a commit and its fsync, the wake-ups of subscriptions,
// so that two Logs of one name follow each other at once, and one look at what
// others have committed. All
// methods may be called concurrently. Use [NewStore].
type Store struct {
	db     *bbolt.DB
	ownsDB bool // Close closes it

	mu         sync.Mutex
	logs       map[string][]*Log // open, by name
	queue      []*operation
	committing bool   // commitLoop runs
	watch      *watch // nil while there is no subscription
	closed     bool

	closeOnce sync.Once
	closeErr  error
}

// NewStore returns a Store of the application's own DB. Closing the Store does
// not close the DB; close the Store first.
func NewStore(db *bbolt.DB) (*Store, error) {
	if db == nil {
		return nil, errors.New("bolt: new store: db is nil: open it with bbolt.Open, or use boltlog.OpenFile")
	}
	return newStore(db), nil
}

func newStore(db *bbolt.DB) *Store { return &Store{db: db, logs: map[string][]*Log{}} }

// Open opens the log of that name and creates it if it is missing. Close of the
// Log leaves the Store open.
func (s *Store) Open(ctx context.Context, name string, opts *Options) (*Log, error) {
	l, err := s.open(ctx, name, opts)
	if err != nil {
		return nil, fmt.Errorf("bolt: open %q in %q: %w", name, s.db.Path(), err)
	}
	return l, nil
}

func (s *Store) open(ctx context.Context, name string, opts *Options) (*Log, error) {
	l, err := newLog(s, name, opts)
	if err != nil {
		return nil, err
	}
	if err := s.register(l); err != nil {
		return nil, err
	}
	exists, err := l.exists(ctx)
	if err == nil && !exists {
		err = l.submit(ctx, &operation{log: l, create: true, run: func(*view) error { return nil }})
	}
	if errors.Is(err, berrors.ErrDatabaseReadOnly) {
		err = fmt.Errorf("the log does not exist and the DB was opened read-only: open it for writing once: %w", err)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeLogs(l))
	}
	return l, nil
}

func (s *Store) register(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return cdc.ErrClosed
	}
	s.logs[string(l.name)] = append(s.logs[string(l.name)], l)
	return nil
}

// Close closes every log of the Store, as [Log.Close] does. Later calls of any
// method give [cdc.ErrClosed]; Close itself may be called again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		path := s.db.Path() // empty when it is closed
		if err := s.close(); err != nil {
			s.closeErr = fmt.Errorf("bolt: close %s: %w", path, err)
		}
	})
	return s.closeErr
}

func (s *Store) close() error {
	s.mu.Lock()
	s.closed = true
	var logs []*Log
	for _, named := range s.logs {
		logs = append(logs, named...)
	}
	s.mu.Unlock()
	err := s.closeLogs(logs...)
	if !s.ownsDB {
		return err
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }() // ends with the application's last transaction
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case closeErr := <-closed:
		return errors.Join(err, closeErr)
	case <-timer.C:
		return errors.Join(err, fmt.Errorf("a transaction of the application is still open after %v: the file is closed when it ends", closeGrace))
	}
}

// closeLogs closes the logs: it refuses what they have in the queue and waits
// for what they have in a commit.
func (s *Store) closeLogs(logs ...*Log) error {
	var unwatched <-chan struct{}
	s.mu.Lock()
	for _, l := range logs {
		if !l.closed {
			l.closed = true
			close(l.ended)
		}
		if w := s.watch; w != nil && w.subscriptions[l] > 0 {
			unwatched = w.leaveLocked(l, w.subscriptions[l])
		}
		name := string(l.name)
		s.logs[name] = slices.DeleteFunc(s.logs[name], func(other *Log) bool { return other == l })
		if len(s.logs[name]) == 0 {
			delete(s.logs, name)
		}
	}
	s.queue = slices.DeleteFunc(s.queue, func(o *operation) bool {
		if o.log.closed {
			o.done <- cdc.ErrClosed
		}
		return o.log.closed
	})
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() { // ends with the commit
		defer close(ended)
		for _, l := range logs {
			l.live.Close() //nolint:errcheck // its source is no Closer
			l.inCommit.Wait()
		}
		if unwatched != nil {
			<-unwatched
		}
	}()
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w after %v: a read transaction of the application keeps bbolt from enlarging its map", errUnderWay, closeGrace)
	}
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// alive is cdc.ErrClosed after Close.
func (l *Log) alive() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	return l.aliveLocked()
}

// aliveLocked is alive for a caller that holds the store's mu.
func (l *Log) aliveLocked() error {
	if l.closed || l.store.closed {
		return cdc.ErrClosed
	}
	return nil
}

// notify wakes the subscriptions of every Log of that name.
func (s *Store) notify(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.logs[name] {
		l.live.Notify()
	}
}

// await returns what f does, or an error as soon as ctx ends or ended is
// closed: bbolt does not interrupt a wait for its locks. f then ends with the
// transaction that holds them, and nobody waits for it.
func await[T any](ctx context.Context, ended <-chan struct{}, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	if ctx.Done() == nil && ended == nil {
		return f()
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	case <-ended:
		return zero, cdc.ErrClosed
	}
}
