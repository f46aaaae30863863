package boltlog_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

const lockEnv = "GAPLESS_BOLT_LOCK_CHILD"

// lockChild holds the file open until its stdin is closed.
func lockChild(path string) {
	l, err := boltlog.OpenFile(context.Background(), path, logName, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	if err := l.Close(); err != nil {
		os.Exit(1)
	}
}

// wantLocked opens a file that is locked.
func wantLocked(t *testing.T, path string) {
	t.Helper()
	begin := time.Now()
	_, err := boltlog.OpenFile(t.Context(), path, logName, &boltlog.FileOptions{LockTimeout: 200 * time.Millisecond})
	wantErr(t, err, "bolt: open", path, "locked", "200ms", "Store")
	if !errors.Is(err, berrors.ErrTimeout) {
		t.Errorf("got %v, want bbolt's ErrTimeout in it", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("opening a locked file took %v, want about 200ms", took)
	}
}

func TestOpenLockedByThisProcess(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	wantLocked(t, path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, nil) // free again
}

func TestOpenLockedByAnotherProcess(t *testing.T) {
	path := newPath(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "locked\n" {
		t.Fatalf("child said %q, %v; want locked", line, err)
	}
	wantLocked(t, path)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, path, nil)
}

// TestOpenRefuses what is no log, and leaves it as it was.
func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string)
		want []string
	}{
		{"short text", textFile(3), []string{"no bbolt file", "another path"}},
		{"long text", textFile(5000), []string{"no bbolt file", "another path"}},
		{"folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"is a directory"}},
		{"bucket of the application", fileWithBucket("user", "x"), []string{`"events"`, "no Gapless log", "another name"}},
		{"empty bucket", fileWithBucket("", ""), []string{"no Gapless log"}},
		{"newer version", fileWithBucket("format", "gapless log 7"), []string{"version 7", "reads version 1"}},
		{"no version", fileWithBucket("format", "gapless log "), []string{"reads version 1"}},
		{"parts missing", fileWithBucket("format", "gapless log 1"), []string{"damaged", "backup"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := newPath(t)
			tc.make(t, path)
			before, _ := os.ReadFile(path)
			_, err := boltlog.OpenFile(t.Context(), path, logName, nil)
			wantErr(t, err, append(tc.want, "bolt: open", path)...)
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

// textFile makes a file of n lines of text.
func textFile(n int) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		if err := os.WriteFile(path, bytes.Repeat([]byte("not bbolt\n"), n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fileWithBucket makes a bbolt file that has a bucket in the place of the log.
func fileWithBucket(key, value string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte(logName))
			if err != nil || key == "" {
				return err
			}
			return b.Put([]byte(key), []byte(value))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "log.db")
	_, err := boltlog.OpenFile(t.Context(), path, logName, nil)
	wantErr(t, err, path, "the folder", "does not exist", "create it")
	_, err = boltlog.OpenFile(t.Context(), "", logName, nil)
	wantErr(t, err, "path is empty")
}

func TestOptionsRefused(t *testing.T) {
	path := newPath(t)
	for want, o := range map[string]boltlog.FileOptions{
		"FillPercent":     {Options: boltlog.Options{FillPercent: 2}},
		"MaxEventBytes":   {Options: boltlog.Options{MaxEventBytes: -1}},
		"PollInterval":    {Options: boltlog.Options{PollInterval: -1}},
		"LockTimeout":     {LockTimeout: -1},
		"InitialMmapSize": {InitialMmapSize: -1},
	} {
		_, err := boltlog.OpenFile(t.Context(), path, logName, &o)
		wantErr(t, err, "Options."+want+" is", path)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat of the file of refused options: got %v, want ErrNotExist", err)
	}
	_, err := boltlog.Open(t.Context(), nil, logName, nil)
	wantErr(t, err, "db is nil", "bbolt.Open")
}

func TestNameRefused(t *testing.T) {
	db := newDB(t)
	for want, name := range map[string]string{"is empty": "", "40000 bytes": string(make([]byte, 40_000))} {
		_, err := boltlog.Open(t.Context(), db, name, nil)
		wantErr(t, err, want, "give the log", db.Path())
		_, err = boltlog.OpenFile(t.Context(), newPath(t), name, nil)
		wantErr(t, err, want, "give the log")
	}
}

// TestOpenOnReadOnlyDB serves a log that is there, and writes nothing.
func TestOpenOnReadOnlyDB(t *testing.T) {
	path := newPath(t)
	l := open(t, path, nil)
	add(t, l, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ro := on(t, db, logName)
	wantTexts(t, all(t, ro, 10), "a")
	if _, err := ro.Append(t.Context(), ev("b")); !errors.Is(err, berrors.ErrDatabaseReadOnly) {
		t.Errorf("append: got %v, want ErrDatabaseReadOnly", err)
	}
	_, err = boltlog.Open(t.Context(), db, "other", nil)
	wantErr(t, err, `"other"`, "does not exist", "read-only")
}

// TestSeveralLogsInOneFile: none knows of the others or of the application's bucket.
func TestSeveralLogsInOneFile(t *testing.T) {
	path := newPath(t)
	a := openNamed(t, path, "a", nil)
	b := on(t, a.DB(), "b")
	add(t, a, "a1", "a2")
	add(t, b, "b1")
	add(t, a, "a3")
	if _, err := a.Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if a, b := bounds(t, a), bounds(t, b); a.Epoch == b.Epoch || a.Head != 3 || b.Head != 1 || b.Floor != 0 {
		t.Errorf("got bounds %+v and %+v, want two logs with heads 3 and 1", a, b)
	}
	if err := errors.Join(b.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	b = openNamed(t, path, "b", nil)
	wantTexts(t, all(t, b, 10), "b1")
	wantTexts(t, all(t, on(t, b.DB(), "a"), 10), "a2", "a3")
}

// TestClose: idempotent, ends what waits, later calls give ErrClosed.
func TestClose(t *testing.T) {
	l := unpolled(t)
	add(t, l, "a")
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan error)
	go func() {
		_, err := sub.Next(context.Background())
		next <- err
	}()
	epoch := bounds(t, l).Epoch
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-next; !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("running Next: got %v, want ErrClosed", err)
	}
	if err := errors.Join(sub.Close(), sub.Close()); err != nil {
		t.Errorf("closing a subscription of a closed log: %v", err)
	}
	for name, call := range map[string]func() error{
		"Append":    func() error { _, err := l.Append(t.Context(), ev("b")); return err },
		"AppendTx":  func() error { _, err := l.AppendTx(nil, ev("b")); return err },
		"Read":      func() error { _, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch}, 1); return err },
		"Bounds":    func() error { _, err := l.Bounds(t.Context()); return err },
		"Subscribe": func() error { _, err := l.Subscribe(t.Context()); return err },
		"Trim":      func() error { _, err := l.Trim(t.Context(), 1); return err },
		"Renew":     func() error { _, err := l.Renew(t.Context()); return err },
	} {
		if err := call(); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", name, err)
		}
	}
}

// TestCloseLeavesTheDBOpen if it is the application's.
func TestCloseLeavesTheDBOpen(t *testing.T) {
	db := newDB(t)
	l := on(t, db, "x")
	add(t, l, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, all(t, on(t, db, "x"), 10), "a")
}

// TestDBClosedUnderTheLog: calls fail, and a follower ends, without a hang.
func TestDBClosedUnderTheLog(t *testing.T) {
	db := newDB(t)
	l := on(t, db, "x")
	sub, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = l.Append(t.Context(), ev("a"))
	wantErr(t, err, "closed under the log")
	if _, err := sub.Next(t.Context()); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Next: got %v, want ErrClosed", err)
	}
}

// TestBucketDeleted: the log is gone, and a new one has another epoch.
func TestBucketDeleted(t *testing.T) {
	db := newDB(t)
	l := on(t, db, "x")
	old := bounds(t, l)
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("x")) }); err != nil {
		t.Fatal(err)
	}
	_, err := l.Append(t.Context(), ev("a"))
	wantErr(t, err, `"x" was deleted`)
	if now := bounds(t, on(t, db, "x")); now.Epoch == old.Epoch {
		t.Errorf("got epoch %q again, want a new one", now.Epoch)
	}
}
