package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Run runs the suite over the log of the harness: a subtest for each case,
// Guarantee/Situation[/parameter]. What the harness cannot do is a visible
// skip. GAPLESS_SEED repeats what was drawn at random.
func Run(t *testing.T, h Harness) {
	t.Helper()
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
		r = inBubble(t, c, h, o)
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
		t.Errorf("%s\n%s\n  reproduce: GAPLESS_SEED=%d go test -count=1 -run '%s' .\n", r, saveHistory(t, r), r.Seed, anchored(t.Name()))
	case r.Skipped != "":
		t.Skip(r.Skipped)
	}
}

// inBubble runs the case in virtual time. A real watchdog stands outside: it
// can only end the process, because nothing can end a goroutine that spins or
// waits for a mutex.
func inBubble(t *testing.T, c Case, h Harness, o Options) (r Result) {
	var tr *trial
	timer := time.AfterFunc(o.Limit, func() {
		panic(fmt.Sprintf("conformance: %s: %v within %v\n  calls:\n    %s", c.Name(), errStuck, o.Limit, tr.trace.String()))
	})
	defer timer.Stop()
	defer func() {
		if p := recover(); p != nil {
			r.Case = c
			r.Faults = append(r.Faults, fmt.Errorf("the case left goroutines that wait for ever: %v", p))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		tr = newTrial(t.Context(), c, h, o)
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
	if err != nil {
		return "  history: " + err.Error()
	}
	return "  history: " + name + " (kept with -artifacts)"
}

// anchored is the pattern that selects just this subtest.
func anchored(name string) string {
	return "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
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
