package conformance

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Run runs the suite over the log of the harness: a subtest for each case,
// Guarantee/Situation[/parameter]. What the harness cannot do is a visible
// skip, with go test -v. GAPLESS_SEED repeats what was drawn at random. A file
// takes about half a minute; -failfast stops at the first case that fails.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Open == nil {
		t.Fatal("Harness.Open is nil: set it to a func that makes an empty log at the place")
	}
	if crashChild(t, h) {
		return
	}
	o := (&Options{Seed: seedFromEnv(t)}).filled()
	tree(t, Cases(), func(t *testing.T, c Case) { runCase(t, c, h, o) })
}

// tree makes a subtest for each part of the cases' names.
func tree(t *testing.T, cases []Case, run func(*testing.T, Case)) {
	t.Helper()
	var nested func(t *testing.T, cases []Case, depth int)
	nested = func(t *testing.T, cases []Case, depth int) {
		for len(cases) > 0 {
			parts := strings.Split(cases[0].Name(), "/")
			n := 1
			for n < len(cases) && samePart(cases[n].Name(), parts, depth) {
				n++
			}
			group := cases[:n]
			cases = cases[n:]
			t.Run(parts[depth], func(t *testing.T) {
				if depth+1 == len(parts) {
					run(t, group[0])
					return
				}
				nested(t, group, depth+1)
			})
		}
	}
	nested(t, cases, 0)
}

func samePart(name string, parts []string, depth int) bool {
	other := strings.Split(name, "/")
	return len(other) > depth && other[depth] == parts[depth]
}

func runCase(t *testing.T, c Case, h Harness, o Options) {
	if lacks := c.lacks(h); lacks != "" {
		t.Skipf("the harness has no %s", lacks)
	}
	o.Dir = t.TempDir()
	var r Result
	if h.Bubble && !c.real {
		r = inBubble(t, o, func(ctx context.Context) *trial { return newTrial(ctx, c, h, o) })
	} else {
		r = newTrial(t.Context(), c, h, o).watch()
	}
	verdict(t, r)
}

// verdict tells the test what became of the case.
func verdict(t *testing.T, r Result) {
	t.Helper()
	switch {
	case len(r.Faults) > 0:
		t.Errorf("%s\n%s\n  reproduce: %s\n", r, saveHistory(t, r), reproduce(t.Name(), r.Seed))
	case r.Skipped != "":
		t.Skip(r.Skipped)
	}
}

// inBubble runs the trial in virtual time. A real watchdog stands outside: it
// can only end the process, because nothing can end a goroutine that spins or
// waits for a mutex.
func inBubble(t *testing.T, o Options, start func(context.Context) *trial) (r Result) {
	var running atomic.Pointer[trial]
	timer := time.AfterFunc(o.Limit, func() {
		if tr := running.Load(); tr != nil {
			tr.add(fmt.Errorf("%w within %v. Virtual time stands still while anybody spins or waits for a mutex; with Bubble false the suite goes on. Where it stands:\n%s", errStuck, o.Limit, goroutinesWith(tr.label)))
			r := tr.result()
			panic(fmt.Sprintf("conformance: %s\n  reproduce: %s\n", r, reproduce(t.Name(), r.Seed)))
		}
	})
	defer timer.Stop()
	defer func() {
		if p := recover(); p != nil {
			tr := running.Load()
			tr.add(fmt.Errorf("the case left goroutines that wait for ever: %v", p))
			r = tr.result()
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		tr := start(t.Context())
		running.Store(tr)
		r = tr.execute()
	})
	return r
}

// saveHistory writes what was recorded where -artifacts keeps it.
func saveHistory(t *testing.T, r Result) string {
	if r.History == nil {
		return ""
	}
	name := filepath.Join(t.ArtifactDir(), "history.json")
	text, err := json.MarshalIndent(r.History, "", " ")
	if err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	switch kept := flag.Lookup("test.artifacts"); {
	case err != nil:
		return "  history: " + err.Error()
	case kept == nil || kept.Value.String() != "true":
		return "  history: -artifacts keeps it"
	}
	return "  history: " + name
}

// reproduce is the command that runs the test again with the same seed, from
// anywhere in its module, and keeps the history.
func reproduce(test string, seed uint64) string {
	flags, target := "-count=1 -artifacts", "."
	if info, ok := debug.ReadBuildInfo(); ok {
		if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
			flags += " -race"
		}
		if name, ok := strings.CutSuffix(info.Path, ".test"); ok {
			target = name
		}
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^") + "$"
	return fmt.Sprintf("GAPLESS_SEED=%d go test %s -run '%s' %s", seed, flags, pattern, target)
}

func seedFromEnv(t *testing.T) uint64 {
	text := os.Getenv("GAPLESS_SEED")
	if text == "" {
		return 0
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("GAPLESS_SEED is %q: want the number that a failure printed", text)
	}
	return seed
}
