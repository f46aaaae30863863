package pebblesource

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/overlay"
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
			args := append([]string{"test", "-count=1", "-run", run, "-overlay", overlay.File(t, f.file, f.right, f.wrong)}, buildFlags...)
			out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPowerCuts/"+f.killed) {
				t.Errorf("%s survives %s: %v\n%s", f.name, f.killed, err, out)
			}
		})
	}
}
