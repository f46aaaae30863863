package boltlog_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"

	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// TestOpenReadOnlyFile, as a user to whom modes apply.
func TestOpenReadOnlyFile(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
			if err := syscall.Setfsuid(65534); err != nil {
				opened <- err
				return
			}
		}
		l, err := boltlog.OpenFile(context.Background(), path, logName, nil)
		if err == nil {
			err = l.Close()
		}
		opened <- err
	}()
	err := <-opened
	wantErr(t, err, "bolt: open", path, "cannot be opened for writing", "check owner and mode")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission in it", err)
	}
}
