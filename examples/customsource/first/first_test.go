package first_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/examples/customsource/first"
)

func open(_ context.Context, at conformance.Place) (cdc.Log, error) {
	src, err := first.Open(at.Dir)
	if err != nil {
		return nil, err
	}
	return cdc.Poll(src, nil)
}

// TestTheSuiteCatchesIt runs the cases that the tutorial names: each fails.
func TestTheSuiteCatchesIt(t *testing.T) {
	told := casesOfTheTutorial(t)
	if len(told) < 8 {
		t.Fatalf("the tutorial names only %v", told)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		report := conformance.Check(t.Context(), conformance.Harness{Open: open, Reopen: open}, &conformance.Options{Cases: told, Dir: dir})
		if len(report.Results) != len(told) {
			t.Errorf("the tutorial names %d cases, the suite has %d of them", len(told), len(report.Results))
		}
		for _, r := range report.Results {
			if len(r.Faults) == 0 {
				t.Errorf("the tutorial says that %s fails, but it does not (skipped: %q)", r.Case.Name(), r.Skipped)
			}
		}
	})
}

// TestTheFailureIsTheOneThatTheTutorialShows compares line by line: what
// follows … was left out.
func TestTheFailureIsTheOneThatTheTutorialShows(t *testing.T) {
	_, shown, ok := strings.Cut(read(t, tutorial), "```text\nResumable/")
	shown, _, closed := strings.Cut(shown, "```")
	if !ok || !closed {
		t.Fatal("the tutorial shows no failure")
	}
	report := conformance.Check(t.Context(), conformance.Harness{Open: open}, &conformance.Options{Cases: []string{"Resumable/Foreign"}, Dir: t.TempDir()})
	got := report.Err().Error()
	for line := range strings.Lines("Resumable/" + shown) {
		want, _, _ := strings.Cut(strings.TrimSpace(line), "…")
		_, rest, ok := strings.Cut(got, want)
		if !ok {
			t.Fatalf("the tutorial shows the line %q, which does not come next in\n%s", want, got)
		}
		got = rest
	}
}

const tutorial = "../../../docs/custom-source.md"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func casesOfTheTutorial(t *testing.T) (told []string) {
	for line := range strings.Lines(read(t, tutorial)) {
		if name, ok := strings.CutPrefix(line, "- `"); ok {
			name, _, _ = strings.Cut(name, "`")
			told = append(told, name)
		}
	}
	return told
}
