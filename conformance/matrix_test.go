package conformance_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/internal/broken"
)

// matrixFile is where the kill matrix is kept.
const matrixFile = "../docs/mutants.md"

// TestKillMatrix runs every case over every mutant and writes the table. It
// takes minutes, so it runs only with GAPLESS_MUTANTS=write (make mutants).
func TestKillMatrix(t *testing.T) {
	if os.Getenv("GAPLESS_MUTANTS") != "write" {
		t.Skip("GAPLESS_MUTANTS=write runs every case over every mutant: make mutants")
	}
	kills := map[broken.Bug][]string{}
	byCase := map[string]int{}
	for _, m := range broken.Mutants() {
		timer := time.AfterFunc(5*time.Minute, func() { panic(fmt.Sprintf("mutant %q hangs: mark it Real", m.Bug)) })
		for _, c := range conformance.Cases() {
			if r := check(t, m, c.Name()); len(r.Faults) > 0 {
				kills[m.Bug] = append(kills[m.Bug], c.Name())
				byCase[c.Name()]++
			}
		}
		timer.Stop()
		t.Logf("%-10s %-50s %3d cases, among them %s", m.Layer, m.Bug, len(kills[m.Bug]), m.Kills)
	}
	handlerKills(t, kills, byCase)
	if err := os.WriteFile(matrixFile, []byte(matrixText(kills, byCase)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// handlerKills does the same for the handlers of server-sent events, in real
// time and therefore side by side.
func handlerKills(t *testing.T, kills map[broken.Bug][]string, byCase map[string]int) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range broken.HandlerMutants() {
		group.Go(func() {
			report := conformance.CheckSSE(t.Context(), sseHarness(m.Bug), &conformance.Options{Patience: 2 * time.Second, Limit: 20 * time.Second, Seed: 1})
			mu.Lock()
			defer mu.Unlock()
			for _, r := range report.Failed() {
				kills[m.Bug] = append(kills[m.Bug], r.Case.Name())
				byCase[r.Case.Name()]++
			}
		})
	}
	group.Wait()
}

func matrixText(kills map[broken.Bug][]string, byCase map[string]int) string {
	var b strings.Builder
	all := slices.Concat(broken.Mutants(), broken.HandlerMutants())
	fmt.Fprintf(&b, `# What the suite kills

Written by `+"`make mutants`"+`. Each mutant is the reference of `+"`conformance/internal/broken`"+` with one bug that somebody has
made; `+"`bugs.go`"+` there says where. Every one of the %d mutants has a case that was written for it, and
`+"`go test ./conformance`"+` fails if that case lets it live. The table says how many cases kill each in all.

| Layer | Mutant | Case written for it | Cases that kill it |
|---|---|---|---|
`, len(all))
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", m.Layer, m.Bug, m.Kills, len(kills[m.Bug]))
	}
	b.WriteString("\n## What each case kills\n\nA case that kills none is not a case: a test keeps the zeros out.\n\n| Case | Mutants |\n|---|---|\n")
	for _, c := range allCases() {
		fmt.Fprintf(&b, "| %s | %d |\n", c.Name(), byCase[c.Name()])
	}
	return b.String()
}

func allCases() []conformance.Case { return slices.Concat(conformance.Cases(), conformance.SSECases()) }

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
