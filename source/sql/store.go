package sqllog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Store is a database with any number of logs, which share the one connection
// of the pool that mode Fence and SQLite keep. All methods may be called
// concurrently. [Open] makes one for a single log.
type Store struct {
	db      DB
	dialect *engine.Dialect
	host    *engine.Host

	mu     sync.Mutex
	logs   map[*Log]bool // that are open
	closed bool
}

// StoreOptions of [NewStore]. Nil means the defaults.
type StoreOptions struct {
	// Dialect of the database; empty: the server is asked.
	Dialect Dialect
}

// NewStore returns the logs in the database, which stays the caller's: Close
// does not close it. It changes nothing.
func NewStore(ctx context.Context, db DB, opts *StoreOptions) (*Store, error) {
	if opts == nil {
		opts = &StoreOptions{}
	}
	s, err := newStore(ctx, db, opts.Dialect)
	if err != nil {
		return nil, fmt.Errorf("sql: store: %w", err)
	}
	return s, nil
}

func newStore(ctx context.Context, db DB, name Dialect) (*Store, error) {
	dialect, err := dialectOf(ctx, db, name)
	if err != nil {
		return nil, err
	}
	return &Store{db: db, dialect: dialect, host: engine.NewHost(db), logs: map[*Log]bool{}}, nil
}

// Open returns the log of that name, as the function [Open] does.
func (s *Store) Open(ctx context.Context, name string, opts *Options) (*Log, error) {
	l, err := s.open(ctx, name, opts)
	if err != nil {
		return nil, fmt.Errorf("sql: open %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) open(ctx context.Context, name string, opts *Options) (*Log, error) {
	settings, err := opts.settings(s.dialect, name)
	if err != nil {
		return nil, err
	}
	prepare := ensureSchema
	if opts != nil && opts.NoSchema {
		prepare = verify
	}
	if err := prepare(ctx, s.db, settings); err != nil {
		return nil, err
	}
	e, err := engine.Await(ctx, s.dialect, nil, func(ctx context.Context) (engine.Engine, error) {
		e, err := s.dialect.Open(ctx, s.host, settings)
		if err == nil {
			_, err = e.State(ctx)
		}
		return e, err
	})
	if err != nil {
		return nil, explain(settings, err)
	}
	l := &Log{store: s, settings: settings, maxEventBytes: opts.maxEventBytes(), engine: e, feeds: engine.NewFeeds(e, settings)}
	if err := s.add(l); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return l, nil
}

func (s *Store) add(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return cdc.ErrClosed
	}
	s.logs[l] = true
	return nil
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) remove(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, l)
}

// Close closes every log that is still open, and gives the shared connection back
// to the pool. It is idempotent.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*Log, 0, len(s.logs))
	for l := range s.logs {
		open = append(open, l)
	}
	s.mu.Unlock()
	var err error
	for _, l := range open {
		err = errors.Join(err, l.Close())
	}
	if herr := s.host.Close(); herr != nil {
		err = errors.Join(err, fmt.Errorf("sql: close: %w", herr))
	}
	return err
}
