package redislog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// Store is a client and what the logs that use it share: one connection on which
// all of them wait to grow. In a cluster each log has one of its own, since it
// may move to another node at any time. All methods may be called concurrently.
// Use [NewStore].
type Store struct {
	client  redis.UniversalClient
	live    *live // of all logs, but for those in a cluster
	scripts scripts

	mu     sync.Mutex
	logs   map[*Log]struct{} // open
	closed bool
}

// NewStore returns a Store of the application's client: a [*redis.Client] (also
// one for Sentinel) or a [*redis.ClusterClient]. It stays the caller's: Close
// does not close it.
func NewStore(client redis.UniversalClient) (*Store, error) {
	if client == nil {
		return nil, errors.New("redis: new store: client is nil: make one with redis.NewClient")
	}
	node, err := nodeOf(client, "")
	if err != nil {
		return nil, fmt.Errorf("redis: new store: %w", err)
	}
	return &Store{client: client, live: &live{node: node}, scripts: newScripts(), logs: map[*Log]struct{}{}}, nil
}

// Open opens the log of that name as [Open] does. Close of the Log leaves the
// Store open.
func (s *Store) Open(ctx context.Context, name string, opts *Options) (*Log, error) {
	l, err := s.open(ctx, name, opts)
	if err != nil {
		return nil, fmt.Errorf("redis: open %q: %w", name, explain(err))
	}
	return l, nil
}

func (s *Store) open(ctx context.Context, name string, opts *Options) (*Log, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	key := "gapless:{" + name + "}"
	l := &Log{store: s, meta: key}
	l.writer.log = l
	if opts != nil {
		l.opts = *opts
	}
	if err := l.opts.check(); err != nil {
		return nil, err
	}
	node, err := nodeOf(s.client, key)
	if err != nil {
		return nil, err
	}
	cluster, err := await(ctx, func(ctx context.Context) (bool, error) { return checkServer(ctx, node, l.opts.Logger) })
	if err != nil {
		return nil, err
	}
	shared := s.live
	if _, single := s.client.(*redis.Client); cluster || !single {
		shared = nil // the streams of one XREAD must be in one slot
	}
	if err := l.init(s.client, key+":log", shared, l.watch); err != nil {
		return nil, err
	}
	if _, err := await(ctx, l.current); err != nil {
		l.close()
		return nil, err
	}
	return l, s.remember(l)
}

func (s *Store) remember(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.close()
		return cdc.ErrClosed
	}
	s.logs[l] = struct{}{}
	return nil
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) forget(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, l)
}

// Close closes every log of the Store and its connection. Later calls of any
// method give [cdc.ErrClosed]; Close itself may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	logs := s.logs
	s.logs = map[*Log]struct{}{}
	s.mu.Unlock()
	for l := range logs {
		l.close()
	}
	s.live.close()
	return nil
}
