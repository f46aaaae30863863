package boltlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
)

// fileMode of a new file: readable by its owner only.
const fileMode = 0o600

// Log is a log in one bucket of a bbolt file. All methods may be called
// concurrently.
type Log struct {
	db      *bbolt.DB
	name    []byte
	options Options // resolved
	ownsDB  bool    // Close closes it

	wake cdc.Notifier

	mu         sync.Mutex
	queue      []*op
	committing bool // commitLoop runs
	closed     bool

	running   sync.WaitGroup // commitLoop; Close waits for it
	closeOnce sync.Once
	closeErr  error
}

var (
	_ cdc.Log      = (*Log)(nil)
	_ cdc.Appender = (*Log)(nil)
	_ cdc.Trimmer  = (*Log)(nil)
	_ cdc.Renewer  = (*Log)(nil)
)

// Open opens the log Options.Name in the file at path and creates either if it
// is missing. The file is locked against other processes until Close; if it is
// locked already, Open fails after Options.LockTimeout. A file that is not
// bbolt's, or a bucket that is not a log of this format, is refused and left
// as it is.
func Open(path string, options *Options) (*Log, error) {
	o, err := options.resolved()
	if err != nil {
		return nil, fmt.Errorf("bolt: open %s: %w", path, err)
	}
	if path == "" {
		return nil, errors.New("bolt: open: the path is empty: give the path of a file")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("bolt: open %s: it is a directory: give the path of a file in it", path)
	}
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{
		Timeout:         o.LockTimeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: o.InitialMmapSize,
		NoFreelistSync:  o.NoFreelistSync,
		NoSync:          o.NoSync,
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: open %s: %w", path, explainOpen(path, o.LockTimeout, err))
	}
	l := &Log{db: db, name: []byte(o.Name), options: o, ownsDB: true}
	if err := l.prepare(); err != nil {
		return nil, fmt.Errorf("bolt: open %s: %w", path, errors.Join(err, db.Close()))
	}
	return l, nil
}

// New opens the log of that name (empty means [DefaultName]) in the
// application's own DB and creates it if it is missing. Closing the Log does
// not close the DB; close the Log first. The fields of Options that are for
// Open only must not be set.
func New(db *bbolt.DB, name string, options *Options) (*Log, error) {
	if db == nil {
		return nil, errors.New("bolt: new: db is nil: open it with bbolt.Open, or use boltlog.Open")
	}
	if field := options.openOnly(); field != "" {
		return nil, fmt.Errorf("bolt: new %s: Options.%s is for Open only: the DB is already open", db.Path(), field)
	}
	o := Options{}
	if options != nil {
		o = *options
	}
	o.Name = name
	o, err := o.resolved()
	if err != nil {
		return nil, fmt.Errorf("bolt: new %s: %w", db.Path(), err)
	}
	l := &Log{db: db, name: []byte(o.Name), options: o}
	if err := l.prepare(); err != nil {
		return nil, fmt.Errorf("bolt: new %s: %w", db.Path(), err)
	}
	return l, nil
}

// DB is the DB that holds the log: for AppendTx, and for further logs in the
// same file by New. If the Log was made by Open, its Close closes the DB.
func (l *Log) DB() *bbolt.DB { return l.db }

// prepare checks the log's bucket, and creates it if there is none.
func (l *Log) prepare() error {
	missing := false
	err := l.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(l.name) == nil {
			missing = true
			return nil
		}
		_, err := l.in(tx)
		return err
	})
	if err != nil || !missing {
		return err
	}
	err = l.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(l.name) == nil {
			return create(tx, l.name)
		}
		_, err := l.in(tx) // made by someone else meanwhile
		return err
	})
	if errors.Is(err, berrors.ErrDatabaseReadOnly) {
		return fmt.Errorf("log %q does not exist and the DB was opened read-only: open it for writing once: %w", l.name, err)
	}
	return err
}

// Close ends every subscription with cdc.ErrClosed, waits for the appends that
// have begun, and closes the file if the Log was made by Open (which waits for
// the application's open transactions). Later calls of any method give
// cdc.ErrClosed; Close itself may be called again.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.wake.Close()
		l.running.Wait()
		if !l.ownsDB {
			return
		}
		if err := l.db.Close(); err != nil {
			l.closeErr = fmt.Errorf("bolt: close %s: %w", l.db.Path(), err)
		}
	})
	return l.closeErr
}

// alive is cdc.ErrClosed after Close.
func (l *Log) alive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.aliveLocked()
}

// aliveLocked is alive for a caller that holds mu.
func (l *Log) aliveLocked() error {
	if l.closed {
		return cdc.ErrClosed
	}
	return nil
}

// explain turns bbolt's error for a DB that was closed by our Close, just now,
// into what every later call gives.
func (l *Log) explain(err error) error {
	if !errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return err
	}
	if closed := l.alive(); closed != nil {
		return closed
	}
	return fmt.Errorf("the DB was closed under the log: close the Log first: %w: %w", cdc.ErrClosed, err)
}

// explainOpen adds to an error of bbolt.Open what it means and what to do.
func explainOpen(path string, timeout time.Duration, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("the file is still locked after %v by another process or by another Open in this one: "+
			"close it there, or share one *bbolt.DB by New: %w", timeout, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s does not exist: create it first: %w", filepath.Dir(path), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the file cannot be opened for writing: check owner and mode of the file and its folder: %w", err)
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("the file cannot be opened, locked or mapped: %w", err)
	}
	return fmt.Errorf("it is no bbolt file, or a damaged one; it was left as it is: give another path, or restore it from a backup: %w", err)
}
