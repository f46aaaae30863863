package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/ssetest"
	"github.com/gapless-go/gapless/internal/broken"
)

// matrixFile is where the kill matrix is kept.
const matrixFile = "../docs/mutants.md"

// TestKillMatrix runs every case over every mutant and writes the table. It
// takes minutes, so it runs only with GAPLESS_MUTANTS=write (make mutants).
// GAPLESS_MUTANTS=extend measures only what the table does not have, and of
// that only the cases of the guarantee that the mutant was written to break.
// Both run the case that was written for a mutant 20 times: a kill by luck is
// none.
func TestKillMatrix(t *testing.T) {
	mode := os.Getenv("GAPLESS_MUTANTS")
	if mode != "write" && mode != "extend" {
		t.Skip("GAPLESS_MUTANTS=write runs every case over every mutant: make mutants")
	}
	kills, byCase, died := map[broken.Bug]int{}, map[string]int{}, map[broken.Bug]int{}
	if mode == "extend" {
		kills, byCase, died = measured(t)
	}
	found := map[string]int{}
	for _, m := range broken.Mutants() {
		timer := time.AfterFunc(5*time.Minute, func() { panic(fmt.Sprintf("mutant %q hangs: mark it Real", m.Bug)) })
		_, old := kills[m.Bug]
		for _, c := range conformance.Cases() {
			_, measured := byCase[c.Name()]
			if mode == "extend" && (old && measured || !strings.HasPrefix(m.Kills, string(c.Guarantee)+"/")) {
				continue
			}
			if r := check(t, m, c.Name()); len(r.Faults) > 0 {
				kills[m.Bug]++
				found[c.Name()]++
			}
		}
		if _, ok := died[m.Bug]; !ok {
			died[m.Bug] = deaths(t, m)
		}
		timer.Stop()
		t.Logf("%-10s %-50s %3d cases, %2d of %d times by %s", m.Layer, m.Bug, kills[m.Bug], died[m.Bug], times, m.Kills)
	}
	for name, n := range found {
		byCase[name] += n
	}
	handlerKills(t, mode, kills, byCase, died)
	if err := os.WriteFile(matrixFile, []byte(matrixText(kills, byCase, died)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// measured reads the numbers of the table.
func measured(t *testing.T) (kills map[broken.Bug]int, byCase map[string]int, died map[broken.Bug]int) {
	t.Helper()
	text, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	kills, byCase, died = map[broken.Bug]int{}, map[string]int{}, map[broken.Bug]int{}
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Split(strings.Trim(line, "| "), " | ")
		n, err := strconv.Atoi(fields[len(fields)-1])
		switch len(fields) {
		case 5:
			if all, bad := strconv.Atoi(fields[3]); bad == nil {
				kills[broken.Bug(fields[1])] = all
				if err == nil {
					died[broken.Bug(fields[1])] = n
				}
			}
		case 2:
			if err == nil {
				byCase[fields[0]] = n
			}
		}
	}
	return kills, byCase, died
}

// handlerKills does the same for the handlers of server-sent events, in real
// time and therefore side by side.
func handlerKills(t *testing.T, mode string, kills map[broken.Bug]int, byCase map[string]int, died map[broken.Bug]int) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range broken.HandlerMutants() {
		_, old := kills[m.Bug]
		_, counted := died[m.Bug]
		if mode == "extend" && old && counted {
			continue
		}
		names := handlerCases(mode, m, old)
		group.Go(func() {
			n := handlerDeaths(t, m)
			var report conformance.Report
			if len(names) > 0 {
				report = ssetest.Check(t.Context(), sseHarness(m.Bug), &conformance.Options{Cases: names, Patience: 2 * time.Second, Limit: 20 * time.Second, Seed: 1})
			}
			mu.Lock()
			defer mu.Unlock()
			died[m.Bug] = n
			for _, r := range report.Failed() {
				kills[m.Bug]++
				byCase[r.Case.Name()]++
			}
		})
	}
	group.Wait()
}

// handlerCases are those to be run over the mutant: all, or to extend the table
// those of the guarantee that a new one was written to break.
func handlerCases(mode string, m broken.Mutant, old bool) (names []string) {
	for _, c := range ssetest.Cases() {
		if mode != "extend" || !old && strings.HasPrefix(m.Kills, string(c.Guarantee)+"/") {
			names = append(names, c.Name())
		}
	}
	return names
}

// times is how often the case that was written for a mutant is run.
const times = 20

// deaths counts how often the mutant dies.
func deaths(t *testing.T, m broken.Mutant) (died int) {
	for range times {
		if r := check(t, m, m.Kills); len(r.Faults) > 0 {
			died++
		}
	}
	return died
}

func handlerDeaths(t *testing.T, m broken.Mutant) (died int) {
	for range times {
		o := &conformance.Options{Cases: []string{m.Kills}, Patience: 2 * time.Second, Limit: 20 * time.Second}
		if len(ssetest.Check(t.Context(), sseHarness(m.Bug), o).Failed()) > 0 {
			died++
		}
	}
	return died
}

func matrixText(kills map[broken.Bug]int, byCase map[string]int, died map[broken.Bug]int) string {
	var b strings.Builder
	all := slices.Concat(broken.Mutants(), broken.HandlerMutants())
	fmt.Fprintf(&b, `# What the suite kills

Written by `+"`make mutants`"+`. Each mutant is the reference of `+"`internal/broken`"+` with one bug that somebody has
made; `+"`bugs.go`"+` there says where. Every one of the %d mutants has a case that was written for it, and
`+"`go test ./conformance`"+` fails if that case lets it live. The table says how many cases kill each in all; for what was added
since, only the cases of the same guarantee were run. The last column says how often it died when its own case was run %d times;
– says that nobody has run it so often yet.

| Layer | Mutant | Case written for it | Cases that kill it | Times that it died |
|---|---|---|---|---|
`, len(all), times)
	for _, m := range all {
		often := "–"
		if n, ok := died[m.Bug]; ok {
			often = strconv.Itoa(n)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", m.Layer, m.Bug, m.Kills, kills[m.Bug], often)
	}
	b.WriteString("\n## What each case kills\n\nA case that kills none is not a case: a test keeps the zeros out.\n\n| Case | Mutants |\n|---|---|\n")
	for _, c := range allCases() {
		fmt.Fprintf(&b, "| %s | %d |\n", c.Name(), byCase[c.Name()])
	}
	return b.String()
}

// sseHarness is that of the small handler with the bug.
func sseHarness(bug broken.Bug) ssetest.Harness {
	return ssetest.Harness{
		Log: harness(broken.None, broken.Source),
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return broken.Handler{Log: log, Bug: bug}, nil
		},
		Encoded: func(_ context.Context, log cdc.Log, encode ssetest.Encode) (http.Handler, error) {
			return broken.Handler{Log: log, Bug: bug, Encode: encode}, nil
		},
		Heartbeat: broken.Heartbeat, WriteTimeout: broken.WriteTimeout,
	}
}

func allCases() []conformance.Case { return slices.Concat(conformance.Cases(), ssetest.Cases()) }

func TestMatrixIsInStep(t *testing.T) {
	text, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, m := range slices.Concat(broken.Mutants(), broken.HandlerMutants()) {
		row := fmt.Sprintf("| %s | %s | %s |", m.Layer, m.Bug, m.Kills)
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, row) }) {
			t.Errorf("%s has no line %q: run make mutants", matrixFile, row)
		}
	}
	for _, c := range allCases() {
		row := "| " + c.Name() + " | "
		switch i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, row) }); {
		case i < 0:
			t.Errorf("%s does not name the case %s: run make mutants", matrixFile, c.Name())
		case lines[i] == row+"0 |":
			t.Errorf("%s: %s kills no mutant: write one, or delete the case", matrixFile, c.Name())
		}
	}
}
