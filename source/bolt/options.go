package boltlog

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

const (
	defaultLockTimeout  = time.Second
	defaultPollInterval = 100 * time.Millisecond
	defaultFillPercent  = 0.9
)

// Options of a [Log]; nil means the defaults.
type Options struct {
	// MaxEventBytes is the largest cdc.Event.Size that is accepted, in bytes;
	// 0 means cdc.DefaultMaxEventBytes (1 MiB), less is refused.
	MaxEventBytes int

	// PollInterval is how often the [Store] looks into the file, while this log
	// has a subscription, for what another Store of the same DB has committed;
	// the shortest of its logs counts. Commits of its own wake a subscription at
	// once. 0 means 100 ms, less is refused.
	PollInterval time.Duration

	// FillPercent is how full bbolt fills a page of events before it starts
	// the next, from 0.1 to 1; 0 means 0.9. Events are only ever added at the
	// end, so bbolt's own 0.5 would double the file.
	FillPercent float64
}

// FileOptions of [OpenFile]; nil means the defaults. The file gets bbolt's hash
// map freelist (the array form slows down as a trimmed file fragments). For
// any setting of bbolt that is not here, open the DB yourself and use [Open].
type FileOptions struct {
	Options // of the log

	// LockTimeout is how long OpenFile waits for a file that is locked by
	// another process, or by another OpenFile in this one; 0 means 1 s, less is
	// refused. It cannot be endless.
	LockTimeout time.Duration

	// InitialMmapSize is how much of the file is mapped from the start, in
	// bytes; 0 lets bbolt double the map as the file grows, less is refused. A
	// writer that has to enlarge the map waits for every open read transaction,
	// so set it above the expected size of the file where the application reads
	// for long. It costs address space, and on Windows disk space.
	InitialMmapSize int

	// NoFreelistSync leaves the list of free pages out of each commit: less is
	// written, but opening scans the whole file.
	NoFreelistSync bool

	// NoSync leaves out the fsync of each commit. Danger: when the machine
	// stops, acknowledged events are lost and the file may be unreadable; a
	// crash of the process alone loses nothing. For bulk loads that can be
	// repeated.
	NoSync bool
}

// resolved returns a copy with the defaults filled in.
func (o *Options) resolved() (Options, error) {
	r := Options{}
	if o != nil {
		r = *o
	}
	switch {
	case r.MaxEventBytes < 0:
		return r, fmt.Errorf("Options.MaxEventBytes is %d: give bytes, or 0 for %d", r.MaxEventBytes, cdc.DefaultMaxEventBytes)
	case r.PollInterval < 0:
		return r, fmt.Errorf("Options.PollInterval is %v: give a duration, or 0 for %v", r.PollInterval, defaultPollInterval)
	case r.FillPercent != 0 && (r.FillPercent < 0.1 || r.FillPercent > 1):
		return r, fmt.Errorf("Options.FillPercent is %v: give 0.1 to 1, or 0 for %v", r.FillPercent, defaultFillPercent)
	}
	if r.PollInterval == 0 {
		r.PollInterval = defaultPollInterval
	}
	if r.FillPercent == 0 {
		r.FillPercent = defaultFillPercent
	}
	return r, nil
}

// resolved returns a copy with the defaults filled in, but for those of the log.
func (o *FileOptions) resolved() (FileOptions, error) {
	r := FileOptions{}
	if o != nil {
		r = *o
	}
	switch {
	case r.LockTimeout < 0:
		return r, fmt.Errorf("FileOptions.LockTimeout is %v: give a duration, or 0 for %v", r.LockTimeout, defaultLockTimeout)
	case r.InitialMmapSize < 0:
		return r, fmt.Errorf("FileOptions.InitialMmapSize is %d: give bytes, or 0 to let the map grow", r.InitialMmapSize)
	}
	if r.LockTimeout == 0 {
		r.LockTimeout = defaultLockTimeout
	}
	return r, nil
}

func checkName(name string) error {
	if name == "" {
		return errors.New(`the name is empty: give the log a name, such as "events"`)
	}
	if len(name) > bbolt.MaxKeySize {
		return fmt.Errorf("the name is %d bytes long, the limit is %d: give the log a shorter name", len(name), bbolt.MaxKeySize)
	}
	return nil
}
