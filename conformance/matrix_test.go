package conformance_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
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
	if err := os.WriteFile(matrixFile, []byte(matrixText(kills, byCase)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func matrixText(kills map[broken.Bug][]string, byCase map[string]int) string {
	var b strings.Builder
	mutants := broken.Mutants()
	fmt.Fprintf(&b, `# What the suite kills

Written by `+"`make mutants`"+`. Each mutant is the reference of `+"`conformance/internal/broken`"+` with one bug that somebody has
made; `+"`bugs.go`"+` there says where. Every one of the %d mutants has a case that was written for it, and
`+"`go test ./conformance`"+` fails if that case lets it live. The table says how many cases kill each in all.

| Layer | Mutant | Case written for it | Cases that kill it |
|---|---|---|---|
`, len(mutants)+len(broken.HandlerMutants()))
	for _, m := range mutants {
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", m.Layer, m.Bug, m.Kills, len(kills[m.Bug]))
	}
	for _, m := range broken.HandlerMutants() {
		fmt.Fprintf(&b, "| %s | %s | %s | see below |\n", m.Layer, m.Bug, m.Kills)
	}
	b.WriteString("\n## What each case kills\n\nCases that kill none of these are kept because they check what no mutant here breaks: crashes of real processes need a\nfile, and some need a server.\n\n| Case | Mutants |\n|---|---|\n")
	for _, c := range conformance.Cases() {
		fmt.Fprintf(&b, "| %s | %d |\n", c.Name(), byCase[c.Name()])
	}
	return b.String()
}

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
	for _, c := range conformance.Cases() {
		if !strings.Contains(string(text), "| "+c.Name()+" |") {
			t.Errorf("%s does not name the case %s: run make mutants", matrixFile, c.Name())
		}
	}
}
