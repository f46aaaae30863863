package conformance_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/ssetest"
)

const guaranteesFile = "../docs/guarantees.md"

// TestGuaranteesAreInStep compares the document with the code: it names every
// guarantee with its sentence and every case with its own, and nothing else.
// GAPLESS_GUARANTEES=write writes it.
func TestGuaranteesAreInStep(t *testing.T) {
	want := guaranteesText()
	if os.Getenv("GAPLESS_GUARANTEES") == "write" {
		if err := os.WriteFile(guaranteesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(guaranteesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("%s lacks the line\n%s", guaranteesFile, line)
		}
	}
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("%s has a line that the code does not bear out:\n%s", guaranteesFile, line)
		}
	}
	t.Error("GAPLESS_GUARANTEES=write go test ./conformance -run InStep writes it")
}

func guaranteesText() string {
	var b strings.Builder
	b.WriteString(`# Guarantees

What Gapless promises, and the cases of the conformance suite that check each promise. The names are those of the subtests
of ` + "`conformance.Run`" + ` and, with ` + "`SSE/`" + ` in them, of ` + "`ssetest.Run`" + `; they are stable. A case that a log cannot run, because
its harness lacks the ability, is a visible skip.
`)
	cases := allCases()
	for _, g := range verify.Guarantees() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Case | What is done and what must come of it |\n|---|---|\n", g, wrapped(upper(g.Sentence())+"."))
		for _, c := range cases {
			if c.Guarantee == g {
				fmt.Fprintf(&b, "| %s | %s |\n", c.Name(), upper(c.Sentence))
			}
		}
	}
	b.WriteString(`
## Effective

Each event takes effect once in the store that a worker's handler writes to, in the order of its key, whatever is killed or paused. Its cases are those of
` + "`placetest.Run`" + `, which is for places, not for logs: [consumers.md](consumers.md#what-a-place-must-keep) lists them.
`)
	return b.String()
}

// wrapped breaks a text at the width that the documents keep.
func wrapped(text string) string {
	const width = 160
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func TestCasesHaveStableDistinctNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range allCases() {
		name := c.Name()
		if seen[name] || c.Sentence == "" || strings.ContainsAny(name, " #") {
			t.Errorf("case %q: twice, without a sentence, or with a name that go test -run changes", name)
		}
		seen[name] = true
		if strings.HasPrefix(c.Guarantee.Sentence(), "is no guarantee") {
			t.Errorf("case %q checks %q, which is no guarantee", name, c.Guarantee)
		}
	}
	for _, cases := range [][]conformance.Case{conformance.Cases(), ssetest.Cases()} {
		ended := map[verify.Guarantee]bool{}
		for i, c := range cases {
			if i > 0 && cases[i-1].Guarantee != c.Guarantee {
				ended[cases[i-1].Guarantee] = true
			}
			if ended[c.Guarantee] {
				t.Errorf("case %q stands apart from the others of its guarantee: its subtest would be %s#01", c.Name(), c.Guarantee)
			}
		}
	}
	for _, g := range verify.Guarantees() {
		if !slices.ContainsFunc(conformance.Cases(), func(c conformance.Case) bool { return c.Guarantee == g }) {
			t.Errorf("no case checks %s", g)
		}
	}
}
