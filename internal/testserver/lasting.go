package testserver

import (
	"os"
	"sync"
	"testing"
)

// Lasting lets servers live as long as the test binary, whichever test asks for
// them first. TestMain calls End. The zero value is ready to use; all methods may
// be called concurrently.
type Lasting struct {
	mu       sync.Mutex
	cleanups []func()
}

// TB is tb for the start of a server: its cleanups run at the end, and everything
// else goes to tb.
func (l *Lasting) TB(tb testing.TB) testing.TB { return &lastingTB{tb, l} }

// End runs the cleanups, the last one first.
func (l *Lasting) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.cleanups) - 1; i >= 0; i-- {
		l.cleanups[i]()
	}
	l.cleanups = nil
}

type lastingTB struct {
	testing.TB
	lasting *Lasting
}

// Cleanup implements testing.TB.
func (l *lastingTB) Cleanup(f func()) {
	l.lasting.mu.Lock()
	defer l.lasting.mu.Unlock()
	l.lasting.cleanups = append(l.lasting.cleanups, f)
}

// TempDir implements testing.TB.
func (l *lastingTB) TempDir() string {
	l.Helper()
	dir, err := os.MkdirTemp("", "gapless-server-")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
