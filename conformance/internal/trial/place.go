package trial

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

var numbers atomic.Uint64

// number returns another number at each call, so that names differ within a
// process.
func number() uint64 { return numbers.Add(1) }

// Place returns a name that no other log of the process has, and an empty
// folder of that name. It ends the case if the folder cannot be made.
func (t *Trial) Place() (name, dir string) {
	name = fmt.Sprintf("c%d_%d", t.Settings.Seed%1e9, number())
	dir = filepath.Join(t.Settings.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.StoreFailed("open", err)
	}
	return name, dir
}

// CloseAtEnd closes what is an [io.Closer] when the case has ended.
func (t *Trial) CloseAtEnd(v any) {
	if c, ok := v.(io.Closer); ok {
		t.AtEnd(c.Close)
	}
}

// AtEnd calls f when the case has ended: what was given last comes first.
func (t *Trial) AtEnd(f func() error) { t.atEnd = append(t.atEnd, f) }
