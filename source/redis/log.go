package redislog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// What one Append may hold at most. More is a [*cdc.BatchTooLargeError].
const (
	// MaxBatchEvents bounds how long the script that stores them keeps the
	// server from everything else: a fraction of a second.
	MaxBatchEvents = 50_000

	// MaxBatchBytes is the limit of all their sizes, as counted by
	// [cdc.Event.Size]: 256 MiB. Redis would close the connection on more than
	// about 1 GB.
	MaxBatchBytes = 256 << 20
)

// Options of a [Log]; nil means the defaults.
type Options struct {
	// MaxEventBytes is the largest event accepted, as counted by
	// [cdc.Event.Size]. 0 means [cdc.DefaultMaxEventBytes]; more than
	// [MaxBatchBytes] is refused.
	MaxEventBytes int

	// MinReplicas is how many replicas must have acknowledged an append before
	// it is acknowledged (WAIT). 0 means none: a failover may then lose what
	// was acknowledged, and followers get a reset. If too few answer in time,
	// the append is an error that wraps [cdc.ErrUnknownOutcome], though the
	// events are in the log: append them again with the same IDs.
	MinReplicas int

	// ReplicaTimeout is how long to wait for MinReplicas. 0 means 1 s.
	ReplicaTimeout time.Duration

	// Logger is told at Open what the server's configuration may lose:
	// a server that keeps nothing, an eviction policy. nil means nobody is.
	Logger *slog.Logger
}

// Log is a log in one Redis stream, shared by any number of processes. All its
// methods may be called concurrently. Use [Open].
type Log struct {
	handle    // its key is the stream
	store     *Store
	ownsStore bool // Close closes it

	opts     Options
	meta     string // key of the hash
	writer   writer
	average  atomic.Int64 // bytes of an event of the last page, 0 if none was read
	perEntry atomic.Int64 // events of an entry of the last page, 0 if none was read
	largest  atomic.Int64 // bytes of the largest event ever appended, as far as known
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)
)

// Open opens the log of that name and creates it if it does not exist. The
// client must reach a master that runs Redis 7.0 or later: a [*redis.Client]
// (also one for Sentinel) or a [*redis.ClusterClient]. It stays the caller's:
// Close does not close it. The name must not be empty or contain braces; the
// keys are gapless:{name} and gapless:{name}:log. Several logs on one server
// share a connection if they are opened through one [Store].
//
// The live side has a connection of its own, made from the client's options, so
// that its blocking reads never take one from the client's pool.
func Open(ctx context.Context, client redis.UniversalClient, name string, opts *Options) (*Log, error) {
	s, err := NewStore(client)
	if err != nil {
		return nil, err
	}
	l, err := s.Open(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	l.ownsStore = true
	return l, nil
}

func checkName(name string) error {
	if name == "" {
		return errors.New(`the name is empty: give the log a name, such as "events"`)
	}
	if strings.ContainsAny(name, "{}") {
		return errors.New("the name contains braces, which decide the cluster slot: give the log a name without them")
	}
	return nil
}

func (o *Options) check() error {
	switch {
	case o.MaxEventBytes < 0 || o.MaxEventBytes > MaxBatchBytes:
		return fmt.Errorf("Options.MaxEventBytes is %d: use 0 to %d", o.MaxEventBytes, MaxBatchBytes)
	case o.MinReplicas < 0:
		return fmt.Errorf("Options.MinReplicas is %d: it must not be negative", o.MinReplicas)
	case o.ReplicaTimeout < 0:
		return fmt.Errorf("Options.ReplicaTimeout is %v: it must not be negative", o.ReplicaTimeout)
	}
	if o.ReplicaTimeout == 0 {
		o.ReplicaTimeout = time.Second
	}
	return nil
}

// String names the kind of store and the key of the log's stream.
func (l *Log) String() string { return "redis " + l.stream }

// Store is the Store that holds the log: for further logs that share its
// connection. If the Log was made by [Open], its Close closes the Store.
func (l *Log) Store() *Store { return l.store }

// Close ends every subscription and every call that is waiting with
// [cdc.ErrClosed], and closes the log's own connection. It is idempotent.
func (l *Log) Close() error {
	if l.ownsStore {
		return l.store.Close()
	}
	l.close()
	l.store.forget(l)
	return nil
}

func (l *Log) close() {
	l.end()
	l.writer.close()
	l.background.Wait()
}

// watch takes a look for the live side.
func (l *Log) watch(ctx context.Context, conn *redis.Client) (string, error) {
	v, err := l.currentView(ctx, conn, nil)
	return topID(v.bounds.Last), err
}
