package rules_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheTestsOfTheDocs runs the test files that a guide shows.
func TestTheTestsOfTheDocs(t *testing.T) {
	ran := 0
	for _, b := range blocks(t, "go") {
		if !regexp.MustCompile(`^package \w+_test\n`).MatchString(b.text) || within(b.file, "docs/adr") {
			continue
		}
		ran++
		file := filepath.Join(t.TempDir(), "docs_test.go")
		if err := os.WriteFile(file, []byte(b.text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: Test") {
			t.Errorf("%s:%d: %v\n%s", b.file, b.line, err, out)
		}
	}
	if ran == 0 {
		t.Error("no guide has a test file")
	}
}

// Every metric that a page names is one that the collector has.
func TestMetricsOfTheDocsExist(t *testing.T) {
	var collected strings.Builder
	for _, p := range files(t, ".go") {
		if path.Dir(p) == "metrics/prometheus" && !strings.HasSuffix(p, "_test.go") {
			collected.WriteString(read(t, p))
		}
	}
	name := regexp.MustCompile(`gapless_(?:hub|streams|worker|events|bytes|delivery|source)\w*`)
	for _, p := range files(t, ".md") {
		for _, metric := range name.FindAllString(read(t, p), -1) {
			if !strings.Contains(collected.String(), `"`+metric+`"`) {
				t.Errorf("%s names the metric %s, which metrics/prometheus does not have", p, metric)
			}
		}
	}
}

// Each example is in the index of the examples. That its links lead somewhere is
// another rule.
func TestEveryExampleIsInTheIndex(t *testing.T) {
	const index = "examples/README.md"
	text := read(t, index)
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "internal" && !strings.Contains(text, "]("+e.Name()+"/") && !strings.Contains(text, "]("+e.Name()+")") {
			t.Errorf("%s does not link %s: say which question it answers", index, e.Name())
		}
	}
}
