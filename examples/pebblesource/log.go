package pebblesource

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
)

// Source keeps a log in a pebble store of its own. It is a [cdc.Source];
// [cdc.Poll] makes a Log of it. All methods may be called concurrently.
type Source struct {
	db       *pebble.DB
	maxBytes int
	turn     chan struct{} // holds one value while somebody writes
	synced   atomic.Uint64 // the head on disk: pebble shows a batch before that

	open   sync.RWMutex // held to read by everybody who uses db
	closed bool
}

var (
	_ cdc.Source   = (*Source)(nil)
	_ cdc.Appender = (*Source)(nil)
	_ cdc.Trimmer  = (*Source)(nil)
	_ cdc.Renewer  = (*Source)(nil)
)

// Open opens the log in the folder, and makes it if there is none. The folder
// is locked until Close.
func Open(dir string, opts *Options) (*Source, error) {
	o, err := opts.resolved()
	if err != nil {
		return nil, fmt.Errorf("pebblesource: open %s: %w", dir, err)
	}
	db, err := pebble.Open(dir, o.Pebble)
	if err != nil {
		return nil, fmt.Errorf("pebblesource: open %s: %w", dir, err)
	}
	s := &Source{db: db, maxBytes: o.MaxEventBytes, turn: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("pebblesource: open %s: %w", dir, err), db.Close())
	}
	return s, nil
}

// load reads the bounds, and writes the first ones of a new log.
func (s *Source) load() error {
	bounds, err := boundsIn(s.db)
	if errors.Is(err, pebble.ErrNotFound) {
		text, _ := json.Marshal(cdc.Bounds{Epoch: cdc.NewEpoch()}) // it is text and numbers
		return s.db.Set(boundsKey, text, pebble.Sync)
	}
	s.synced.Store(bounds.Head)
	return err
}

// use calls f with a store that stays open meanwhile.
func (s *Source) use(f func() error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.closed {
		return cdc.ErrClosed
	}
	return f()
}

// Close waits for the calls that use the store, and closes it.
func (s *Source) Close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("pebblesource: close: %w", err)
	}
	return nil
}
