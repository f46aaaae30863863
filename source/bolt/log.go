package boltlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// lookAlone is how often a subscription looks that nobody wakes: the Store's
// watch does.
const lookAlone = 24 * time.Hour

// fileMode of a new file: readable by its owner only.
const fileMode = 0o600

// Log is a log in one bucket of a bbolt file. All methods may be called
// concurrently.
type Log struct {
	store     *Store
	ownsStore bool // Close closes it
	name      []byte
	opts      Options // resolved
	live      *cdc.Polled

	ended    chan struct{}  // closed when Close begins
	closed   bool           // guarded by store.mu, which is held to add to inCommit
	inCommit sync.WaitGroup // operations that a commit has taken
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)
)

// OpenFile opens the log of that name in the file at path and creates either if
// it is missing. The file is locked against other processes until Close; if it
// is locked already, OpenFile fails after FileOptions.LockTimeout. A file that
// is not bbolt's, or a bucket that is not a log of this format, is refused and
// stays as it is.
func OpenFile(ctx context.Context, path, name string, opts *FileOptions) (*Log, error) {
	l, err := openFile(ctx, path, name, opts)
	if err != nil {
		return nil, fmt.Errorf("bolt: open %q in %q: %w", name, path, err)
	}
	return l, nil
}

func openFile(ctx context.Context, path, name string, opts *FileOptions) (*Log, error) {
	o, err := opts.resolved()
	if err != nil {
		return nil, err
	}
	if _, err := newLog(nil, name, &o.Options); err != nil { // before a file is made
		return nil, err
	}
	db, err := openDB(ctx, path, o)
	if err != nil {
		return nil, err
	}
	s := newStore(db)
	s.ownsDB = true
	l, err := s.open(ctx, name, &o.Options)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	l.ownsStore = true
	return l, nil
}

func openDB(ctx context.Context, path string, o FileOptions) (*bbolt.DB, error) {
	if path == "" {
		return nil, errors.New("the path is empty: give the path of a file")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, errors.New("it is a directory: give the path of a file in it")
	}
	db, err := await(ctx, nil, func() (*bbolt.DB, error) {
		db, err := bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout:         o.LockTimeout,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: o.InitialMmapSize,
			NoFreelistSync:  o.NoFreelistSync,
			NoSync:          o.NoSync,
		})
		if err == nil && ctx.Err() != nil { // the caller may have left
			return nil, errors.Join(context.Cause(ctx), db.Close())
		}
		return db, err
	})
	if err != nil && ctx.Err() == nil {
		err = explainOpen(path, o.LockTimeout, err)
	}
	return db, err
}

// Open opens the log of that name in the application's own DB and creates it if
// it is missing. Closing the Log does not close the DB; close the Log first.
// Where a DB holds several logs, open them through one [Store].
func Open(ctx context.Context, db *bbolt.DB, name string, opts *Options) (*Log, error) {
	s, err := NewStore(db)
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

// newLog makes a log that is not open yet.
func newLog(s *Store, name string, opts *Options) (*Log, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	o, err := opts.resolved()
	if err != nil {
		return nil, err
	}
	l := &Log{store: s, name: []byte(name), opts: o, ended: make(chan struct{})}
	l.live, err = cdc.Poll(source{l}, &cdc.PollOptions{Min: lookAlone, Max: lookAlone})
	return l, err
}

// String names the kind of store and the log, as in "bolt events".
func (l *Log) String() string { return "bolt " + string(l.name) }

// DB is the DB that holds the log: for AppendTx. If the Log was made by
// OpenFile, its Close closes the DB.
func (l *Log) DB() *bbolt.DB { return l.store.db }

// Store is the Store that holds the log: for further logs in the same file. If
// the Log was made by Open or OpenFile, its Close closes the Store.
func (l *Log) Store() *Store { return l.store }

// Close ends every subscription with [cdc.ErrClosed], refuses the appends that
// wait for their commit and waits for those that are in one. It closes the
// Store if that is the Log's own, and with it the file if that was opened by
// OpenFile. Later calls of any method give cdc.ErrClosed; Close itself may be
// called again.
//
// It waits 5 seconds at most. Then the error says what is still open: a
// transaction of the application keeps a commit from ending or the file from
// being closed, which happens as soon as that transaction ends.
func (l *Log) Close() error {
	if l.ownsStore {
		return l.store.Close()
	}
	if err := l.store.closeLogs(l); err != nil {
		return fmt.Errorf("bolt: close: %w", err)
	}
	return nil
}
