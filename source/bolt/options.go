package boltlog

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// DefaultName is the bucket of a log that was given no name.
const DefaultName = "gapless"

const (
	defaultLockTimeout  = time.Second
	defaultPollInterval = 100 * time.Millisecond
	defaultFillPercent  = 0.9
)

// Options of [Open] and [New]; nil means the defaults. Open uses bbolt's hash
// map freelist (the array form slows down as a trimmed file fragments). For
// any setting of bbolt that is not here, open the DB yourself and use New.
type Options struct {
	// Name is the top-level bucket that holds the log; empty means
	// [DefaultName]. Open only: New has it as an argument.
	Name string

	// MaxEventBytes is the largest cdc.Event.Size that is accepted, in bytes;
	// 0 means cdc.DefaultMaxEventBytes (1 MiB).
	MaxEventBytes int

	// PollInterval is how often a waiting subscription looks into the file for
	// what another Log of the same name and DB has committed; commits of its
	// own Log wake it at once. 0 means 100 ms, less than 0 never looks.
	PollInterval time.Duration

	// FillPercent is how full bbolt fills a page of events before it starts
	// the next, from 0.1 to 1; 0 means 0.9. Events are only ever added at the
	// end, so bbolt's own 0.5 would double the file.
	FillPercent float64

	// LockTimeout is how long Open waits for a file that is locked by another
	// process, or by another Open in this one; 0 means 1 s. It cannot be
	// endless. Open only.
	LockTimeout time.Duration

	// InitialMmapSize is how much of the file is mapped from the start, in
	// bytes; 0 lets bbolt double the map as the file grows. A writer that has
	// to enlarge the map waits for every open read transaction, so set it
	// above the expected size of the file where the application reads for long.
	// It costs address space, and on Windows disk space. Open only.
	InitialMmapSize int

	// NoFreelistSync leaves the list of free pages out of each commit: less is
	// written, but opening scans the whole file. Open only.
	NoFreelistSync bool

	// NoSync leaves out the fsync of each commit. Danger: when the machine
	// stops, acknowledged events are lost and the file may be unreadable; a
	// crash of the process alone loses nothing. For bulk loads that can be
	// repeated. Open only.
	NoSync bool
}

// resolved returns a copy with the defaults filled in.
func (o *Options) resolved() (Options, error) {
	r := Options{}
	if o != nil {
		r = *o
	}
	if r.Name == "" {
		r.Name = DefaultName
	}
	if len(r.Name) > bbolt.MaxKeySize {
		return r, fmt.Errorf("the name is %d bytes long, the limit is %d", len(r.Name), bbolt.MaxKeySize)
	}
	if r.PollInterval == 0 {
		r.PollInterval = defaultPollInterval
	}
	if r.FillPercent == 0 {
		r.FillPercent = defaultFillPercent
	}
	if r.FillPercent < 0.1 || r.FillPercent > 1 {
		return r, fmt.Errorf("Options.FillPercent is %v: give 0.1 to 1, or 0 for %v", r.FillPercent, defaultFillPercent)
	}
	if r.LockTimeout == 0 {
		r.LockTimeout = defaultLockTimeout
	}
	if r.LockTimeout < 0 {
		return r, errors.New("Options.LockTimeout is negative: give a duration, or 0 for 1 s")
	}
	return r, nil
}

// openOnly names a field that [New] cannot honour, because the DB is already
// open; empty if there is none.
func (o *Options) openOnly() string {
	switch {
	case o == nil:
	case o.Name != "":
		return "Name"
	case o.LockTimeout != 0:
		return "LockTimeout"
	case o.InitialMmapSize != 0:
		return "InitialMmapSize"
	case o.NoFreelistSync:
		return "NoFreelistSync"
	case o.NoSync:
		return "NoSync"
	}
	return ""
}
