package pebblesource

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildFlags are those of this very test, so that little is built anew.
var buildFlags []string

// faults are one line each that a log over an LSM tree easily has wrong, and the
// case of the suite that notices.
var faults = []struct{ name, file, right, wrong, killed string }{
	{
		"error of the iterator taken for the end", "read.go",
		"return errors.Join(err, events.Close()) // an iterator that fails has ended", "_ = events.Close(); return err",
		"Reliable/EventFails",
	},
	{
		"batch not synced", "append.go",
		"c.Commit(pebble.Sync)", "c.Commit(pebble.NoSync)",
		"Durable/Reopen",
	},
	{
		"events not read from the snapshot", "read.go",
		"f(view{snapshot, bounds})", "f(view{s.db, bounds})",
		"Resumable/ReadLookedAt",
	},
	{
		"upper bound taken for the last", "read.go",
		"eventKey(upTo + 1)", "eventKey(upTo)",
		"Reliable/EveryCursorEveryLimit",
	},
	{
		"end of DeleteRange off by one", "trim.go",
		"eventKey(seq+1), nil)", "eventKey(seq+2), nil)",
		"Resumable/TrimExact",
	},
}

// TestFaultsAreKilled breaks the source in one line and runs the case.
func TestFaultsAreKilled(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			run := "^TestPowerCuts$/^" + strings.Replace(f.killed, "/", "$/^", 1) + "$"
			args := append([]string{"test", "-count=1", "-run", run, "-overlay", overlay(t, f.file, f.right, f.wrong)}, buildFlags...)
			out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPowerCuts/"+f.killed) {
				t.Errorf("%s survives %s: %v\n%s", f.name, f.killed, err, out)
			}
		})
	}
}

// overlay is a file for go test that puts wrong in the place of right.
func overlay(t *testing.T, file, right, wrong string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), right); n != 1 {
		t.Fatalf("%s has %q %d times, want once", file, right, n)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	broken, list := filepath.Join(t.TempDir(), file), filepath.Join(t.TempDir(), "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{broken: []byte(strings.Replace(string(text), right, wrong, 1)), list: replace} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
