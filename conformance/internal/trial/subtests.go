package trial

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
	"testing"
	"time"
)

// Start returns the trial of the i-th case.
type Start func(ctx context.Context, i int, s Settings) *Trial

// RunAll runs each case in a subtest, one for each part of its name: in virtual
// time where bubble says so. GAPLESS_SEED sets the seed.
func RunAll(t *testing.T, names []string, bubble func(i int) bool, start Start) {
	t.Helper()
	settings := Settings{Seed: seedFromEnv(t)}.WithDefaults()
	subtests(t, names, 0, 0, func(t *testing.T, i int) {
		s := settings
		s.Dir = t.TempDir()
		r := runTest(t, bubble(i), s.Limit, func(ctx context.Context) *Trial { return start(ctx, i, s) })
		switch {
		case len(r.Faults) > 0:
			t.Errorf("%s\n%s\n  reproduce: %s\n", r, saveHistory(t, r), reproduce(t.Name(), r.Seed))
		case r.Skipped != "":
			t.Skip(r.Skipped)
		}
	})
}

// RunScript runs one case for a fuzzing engine, which repeats the script and
// not the seed.
func RunScript(t *testing.T, script []byte, bubble bool, start Start) {
	t.Helper()
	s := Settings{Dir: t.TempDir(), Seed: 1}.WithDefaults()
	r := runTest(t, bubble, s.Limit, func(ctx context.Context) *Trial { return start(ctx, 0, s) })
	if len(r.Faults) > 0 {
		t.Errorf("%s\n  script %q", r, script)
	}
}

// subtests makes those of the names from the first on, whose parts above depth
// are the same.
func subtests(t *testing.T, names []string, first, depth int, run func(*testing.T, int)) {
	t.Helper()
	for len(names) > 0 {
		parts := strings.Split(names[0], "/")
		n := 1
		for n < len(names) && samePart(names[n], parts, depth) {
			n++
		}
		group, at := names[:n], first
		names, first = names[n:], first+n
		t.Run(parts[depth], func(t *testing.T) {
			if depth+1 == len(parts) {
				run(t, at)
				return
			}
			subtests(t, group, at, depth+1, run)
		})
	}
}

func samePart(name string, parts []string, depth int) bool {
	other := strings.Split(name, "/")
	return len(other) > depth && other[depth] == parts[depth]
}

func runTest(t *testing.T, bubble bool, limit time.Duration, start func(context.Context) *Trial) Result {
	if bubble {
		return inBubble(t, limit, start)
	}
	return start(t.Context()).Watch()
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

// seedFromEnv returns the seed that GAPLESS_SEED asks for, 0 if it is not set.
func seedFromEnv(t *testing.T) uint64 {
	t.Helper()
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
