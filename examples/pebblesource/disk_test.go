package pebblesource

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
)

// disk is a file system in memory that loses what was not synced when its power
// is cut, and whose tables can be made unreadable.
type disk struct {
	mu    sync.Mutex
	files *vfs.MemFS
	last  errorfs.Op               // the last read of a table
	fails func(op errorfs.Op) bool // nil: none
	syncs func()                   // called before each sync of the write-ahead log, if set
}

// MaybeError implements [errorfs.Injector].
func (d *disk) MaybeError(op errorfs.Op) error {
	d.mu.Lock()
	fails, syncs := d.fails, d.syncs
	table := op.Kind == errorfs.OpFileReadAt && filepath.Ext(op.Path) == ".sst"
	if table {
		d.last = op
	}
	d.mu.Unlock()
	if syncs != nil && filepath.Ext(op.Path) == ".log" && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
		syncs()
	}
	if table && fails != nil && fails(op) {
		return errorfs.ErrInjected
	}
	return nil
}

func (d *disk) String() string { return "disk" }

// fail makes the reads of tables fail that are selected, until mend is called.
func (d *disk) fail(which func(op errorfs.Op) bool) (mend func()) {
	set := func(f func(op errorfs.Op) bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.fails = f
	}
	set(which)
	return func() { set(nil) }
}

// open opens the log on the disk. Where reading an event must be a read of the
// disk, each value has a block of its own, and no block is kept in memory.
func (d *disk) open(eachRead bool) (cdc.Log, error) {
	o := &pebble.Options{
		FS: errorfs.Wrap(d.files, d), Logger: quiet{pebble.DefaultLogger}, MemTableSize: 1 << 18,
		DisableAutomaticCompactions: true, L0StopWritesThreshold: 1 << 20,
	}
	if eachRead {
		o.CacheSize = 1
		for i := range o.Levels {
			o.Levels[i].BlockSize = 1
		}
	}
	src, err := Open("log", &Options{Pebble: o})
	if err != nil {
		return nil, err
	}
	return cdc.Poll(&onDisk{src, d}, nil)
}

// quiet tells errors only.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// onDisk is a source whose Close is a power cut: what was not synced is lost.
type onDisk struct {
	*Source
	disk *disk
}

// Close implements [io.Closer].
func (s *onDisk) Close() error {
	left := s.disk.files.CrashClone(vfs.CrashCloneCfg{})
	err := s.Source.Close()
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.files = left
	return err
}

func sourceOf(log cdc.Log) *onDisk { return log.(*cdc.Polled).Unwrap().(*onDisk) }

// powerCuts is the harness of logs in memory, whose power is cut at each Close.
func powerCuts() conformance.Harness {
	var disks sync.Map // by the name of the place
	open := func(_ context.Context, at conformance.Place) (cdc.Log, error) {
		d, _ := disks.LoadOrStore(at.Name, &disk{files: vfs.NewCrashableMem()})
		return d.(*disk).open(at.Case == "Reliable/EventFails")
	}
	return conformance.Harness{Open: open, Reopen: open, Rewind: rewind, Break: breakAll, BreakEvent: breakEvent}
}

func breakAll(_ context.Context, _ conformance.Place, log cdc.Log) (func(), error) {
	s := sourceOf(log)
	err := s.db.Flush()
	return s.disk.fail(func(errorfs.Op) bool { return true }), err
}

// breakEvent reads the event, and lets that very read fail from then on.
func breakEvent(_ context.Context, _ conformance.Place, log cdc.Log, seq uint64) (func(), error) {
	s := sourceOf(log)
	err := s.db.Flush()
	at, missing := eventIn(s.db, seq)
	if err = errors.Join(err, missing); err == nil && at == nil {
		err = errors.New("there is no such event")
	}
	bad := s.disk.last
	return s.disk.fail(func(op errorfs.Op) bool { return op == bad }), err
}

// rewind puts back what the log held at seq.
func rewind(ctx context.Context, _ conformance.Place, log cdc.Log, seq uint64) error {
	return sourceOf(log).write(ctx, func(c *change) error {
		var failed error
		err := scan(c, seq, c.bounds.Head, func(e cdc.Event) bool {
			failed = errors.Join(failed, c.Delete(idKey(e.ID), nil), c.Delete(eventKey(e.Seq), nil))
			return true
		})
		c.bounds.Head, c.bounds.Last = seq, seq
		return errors.Join(err, failed)
	})
}
