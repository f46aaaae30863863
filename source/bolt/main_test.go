package boltlog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// TestMain is also the entry of the child processes that tests start, and
// fails if a goroutine is left when all tests have ended.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashChild(path)
		return
	}
	if path := os.Getenv(lockEnv); path != "" {
		lockChild(path)
		return
	}
	code := m.Run()
	if left := leaked(5 * time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left after the tests:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of the goroutines that are still there after
// patience, other than this one and those of the runtime.
func leaked(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var left []string
		for _, stack := range strings.Split(string(buf), "\n\n")[1:] { // the first is this one
			if !strings.Contains(stack, "os/signal.signal_recv") && !strings.Contains(stack, "testing.runTests") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// logName is the log's name where a test does not care.
const logName = "events"

// open opens a log that is closed with the test.
func open(t testing.TB, path string, opts *boltlog.FileOptions) *boltlog.Log {
	t.Helper()
	return openNamed(t, path, logName, opts)
}

func openNamed(t testing.TB, path, name string, opts *boltlog.FileOptions) *boltlog.Log {
	t.Helper()
	l, err := boltlog.OpenFile(t.Context(), path, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "log.db")
}

func newLog(t testing.TB) *boltlog.Log {
	t.Helper()
	return open(t, newPath(t), nil)
}

// newDB is an application's own DB, closed with the test.
func newDB(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(newPath(t), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func on(t testing.TB, db *bbolt.DB, name string) *boltlog.Log {
	t.Helper()
	l, err := boltlog.Open(t.Context(), db, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func ev(format string, args ...any) cdc.Event {
	return cdc.Event{Type: "test", Data: fmt.Appendf(nil, format, args...)}
}

// add appends one event for each text and returns the receipt.
func add(t testing.TB, l *boltlog.Log, texts ...string) cdc.Receipt {
	t.Helper()
	events := make([]cdc.Event, len(texts))
	for i, text := range texts {
		events[i] = ev("%s", text)
	}
	r, err := l.Append(context.Background(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bounds(t testing.TB, l *boltlog.Log) cdc.Bounds {
	t.Helper()
	b, err := l.Bounds(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all reads the whole log from the floor, by pages of limit.
func all(t testing.TB, l *boltlog.Log, limit int) []cdc.Event {
	t.Helper()
	b := bounds(t, l)
	var events []cdc.Event
	for c := (cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}); ; {
		p, err := l.Read(context.Background(), c, limit)
		if err != nil {
			t.Fatal(err)
		}
		if p.Next == c.Seq {
			return events
		}
		events = append(events, p.Events...)
		c.Seq = p.Next
	}
}

// wantTexts checks the data of the events, which must have dense seqs.
func wantTexts(t testing.TB, events []cdc.Event, want ...string) {
	t.Helper()
	got := make([]string, len(events))
	for i, e := range events {
		got[i] = string(e.Data)
		if i > 0 && e.Seq != events[i-1].Seq+1 {
			t.Errorf("seq %d follows %d, want dense seqs", e.Seq, events[i-1].Seq)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got events %q, want %q", got, want)
	}
}

// wantErr checks that the text of the error has all the parts.
func wantErr(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want it to say %q", err, part)
		}
	}
}
