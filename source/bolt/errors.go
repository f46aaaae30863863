package boltlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
)

var (
	// errUnderWay: the caller left during a commit that did not end in time.
	errUnderWay = errors.New("the commit was still under way")
	// errCommit: bbolt's commit failed where it may have been written.
	errCommit = errors.New("the commit failed")
	// errRecord: what is stored is no record.
	errRecord = errors.New("the stored record is damaged: restore the file from a backup and call Renew")
)

// unknownOutcome reports whether the transaction may have been written.
func unknownOutcome(err error) bool { return errors.Is(err, errUnderWay) || errors.Is(err, errCommit) }

// explainBegin turns bbolt's error for a DB that was closed by our Close, just
// now, into what every later call gives.
func (s *Store) explainBegin(err error) error {
	if !errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return err
	}
	if s.isClosed() {
		return cdc.ErrClosed
	}
	return fmt.Errorf("the DB was closed under the log: close the Log first: %w: %w", cdc.ErrClosed, err)
}

// explainCommit tells a commit that was refused from one that may have been
// written: bbolt does not say which of its writes failed.
func explainCommit(err error) error {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return fmt.Errorf("the file has reached the DB's MaxSize: trim the log, or raise it: %w", err)
	}
	return fmt.Errorf("%w: check the disk: %w", errCommit, err)
}

// explainOpen adds to an error of bbolt.Open what it means and what to do.
func explainOpen(path string, timeout time.Duration, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("the file is still locked after %v by another process or by another OpenFile in this one: "+
			"close it there, or share one Store: %w", timeout, err)
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
