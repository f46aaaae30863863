package broken

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// journal is the file of a Disk that outlives its process. It has a line for
// each change: a page in the system's memory survives kill -9, so none is
// synced.
type journal struct {
	file *os.File
	out  *bufio.Writer
}

// entry is a change: the bounds after it and the events that became stable.
type entry struct {
	Bounds cdc.Bounds
	Gone   uint64      `json:",omitempty"` // events at or below it were removed: TrimInSteps, RenewWritten
	Events []cdc.Event `json:",omitempty"`
}

// NewFile returns the store that is kept in a file in the folder, with the bug
// in it.
func NewFile(dir string, bug Bug) *Disk {
	d := NewDisk(bug)
	d.path = filepath.Join(dir, "journal")
	return d
}

// load makes the disk what its file says. Half a line at the end is a change
// that a kill has cut off: nobody was told of it.
func (d *Disk) load() error {
	if d.path == "" {
		return nil
	}
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.events = nil
	dec, whole, lines := json.NewDecoder(f), int64(0), 0
	for ; ; lines++ {
		var e entry
		if dec.Decode(&e) != nil {
			break
		}
		whole = dec.InputOffset()
		d.bounds = e.Bounds
		gone := e.Gone
		d.events = slices.DeleteFunc(append(d.events, e.Events...), func(e cdc.Event) bool {
			return e.Seq <= max(d.bounds.Floor, gone) || e.Seq > d.bounds.Last && d.bug != BoundsAtClose
		})
	}
	d.ids = map[string]uint64{}
	for _, e := range d.events {
		if e.ID != "" {
			d.ids[d.idKey(e)] = e.Seq
		}
	}
	_, err = f.Seek(whole, 0)
	d.journal = &journal{f, bufio.NewWriterSize(f, 1<<20)}
	d.saved = d.bounds
	if err := errors.Join(err, f.Truncate(whole)); err != nil || lines > 0 {
		return err
	}
	d.write(nil)
	d.flush()
	return nil
}

// changed writes what has changed, before anybody is told.
func (d *Disk) changed(stable []cdc.Event) {
	if d.journal == nil {
		return
	}
	d.write(stable)
	if d.bug != WrittenAtClose {
		d.flush()
	}
}

func (d *Disk) write(stable []cdc.Event) {
	e := entry{Bounds: d.bounds, Events: stable}
	if d.bug == BoundsAtClose {
		e.Bounds = d.saved
	}
	if err := json.NewEncoder(d.journal.out).Encode(e); err != nil {
		panic(err)
	}
}

func (d *Disk) flush() {
	if err := d.journal.out.Flush(); err != nil {
		panic(err)
	}
}

// closeFile ends the file when the last handle is closed.
func (d *Disk) closeFile() {
	if d.journal == nil {
		return
	}
	d.saved = d.bounds
	d.write(nil)
	d.flush()
	_ = d.journal.file.Close()
	d.journal = nil
}

// removed writes that the events up to seq are gone.
func (d *Disk) removed(seq uint64) {
	if err := json.NewEncoder(d.journal.out).Encode(entry{Bounds: d.bounds, Gone: seq}); err != nil {
		panic(err)
	}
	d.flush()
}
