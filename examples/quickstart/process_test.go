package main_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSignalsEndItWithinASecond, with open streams, each of which is told to
// reconnect, and an upload that never ends. The limit has slack for a machine
// that does other things too; the time is logged.
func TestSignalsEndItWithinASecond(t *testing.T) {
	const (
		streams = 50
		limit   = 5 * time.Second
	)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			s := start(t, filepath.Join(t.TempDir(), "log.db"))
			s.append(t, `{"type":"a"}`)
			var running sync.WaitGroup
			var live, told atomic.Int32
			for range streams {
				running.Go(func() {
					last := ""
					frames(t.Context(), s.url+"/events?after=beginning", "", func(f frame) bool {
						if f.name == "cdc.live" {
							live.Add(1)
						}
						last = f.name
						return true
					})
					if last == "cdc.reconnect" {
						told.Add(1)
					}
				})
			}
			await(t, "the streams to be live", func() bool { return live.Load() == streams })
			stalled := startStalledUpload(t, s)

			code, took := s.stop(t, sig)
			t.Logf("%v with %d streams: exit %d after %v", sig, streams, code, took)
			if code != 0 || took > limit {
				t.Errorf("got exit %d after %v, want 0 within %v", code, took, limit)
			}
			running.Wait()
			stalled()
			if got := told.Load(); got != streams {
				t.Errorf("%d of %d streams ended with cdc.reconnect", got, streams)
			}
		})
	}
}

// startStalledUpload begins an append and sends half of it. The function ends it.
func startStalledUpload(t *testing.T, s *server) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		a, err := do(ctx, "POST", s.url+"/events", ndjsonType, reader)
		if err == nil && a.status == http.StatusCreated {
			t.Errorf("half an upload was accepted: %s", a.body)
		}
		reader.Close()
	})
	if _, err := io.WriteString(writer, "{\"type\":\"a\"}\n{\"type\""); err != nil {
		t.Error(err)
	}
	return func() {
		cancel()
		writer.Close()
		running.Wait()
	}
}

func TestWhatStopsItFromStartingIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "log.db")
	s := start(t, db)
	other := filepath.Join(dir, "other.txt")
	if err := os.WriteFile(other, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"port in use", []string{"-addr", s.addr, "-db", filepath.Join(dir, "second.db")}, []string{s.addr, "in use", "-addr"}},
		{"locked file", []string{"-addr", "127.0.0.1:0", "-db", db}, []string{db, "locked"}},
		{"another format", []string{"-addr", "127.0.0.1:0", "-db", other}, []string{other}},
		{"no such folder", []string{"-addr", "127.0.0.1:0", "-db", filepath.Join(dir, "none", "log.db")}, []string{"none", "does not exist"}},
		{"bad address", []string{"-addr", "nowhere", "-db", filepath.Join(dir, "third.db")}, []string{"nowhere", "host:port"}},
		{"negative retain", []string{"-retain", "-1"}, []string{"-retain", "0 to keep all"}},
		{"demonstration for everyone", []string{"-demo", "-addr", "0.0.0.0:0"}, []string{"0.0.0.0:0", "-demo"}},
		{"locked file, demonstration", []string{"-demo", "-addr", "127.0.0.1:0", "-db", db}, []string{db, "locked"}},
		{"port in use, demonstration", []string{"-demo", "-addr", s.addr, "-db", filepath.Join(dir, "fourth.db")}, []string{s.addr, "in use", "-addr"}},
		{"argument", []string{"serve"}, []string{"serve", "-h"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := launch(t, c.args...)
			select {
			case <-failed.ended:
			case <-time.After(patience):
				t.Fatal("it neither failed nor said anything")
			}
			text := failed.stderr.String()
			if got := failed.cmd.ProcessState.ExitCode(); got != 1 {
				t.Errorf("got exit %d, want 1", got)
			}
			if strings.Count(text, "\n") != 1 {
				t.Errorf("got more or less than one line: %q", text)
			}
			for _, part := range c.want {
				if !strings.Contains(text, part) {
					t.Errorf("got %q, want %q in it", text, part)
				}
			}
		})
	}
	if got, err := os.ReadFile(other); err != nil || !strings.HasPrefix(string(got), "not a database") {
		t.Error("the file of another format was changed")
	}
}
