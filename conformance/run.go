package conformance

import (
	"context"
	"testing"

	"github.com/gapless-go/gapless/conformance/internal/trial"
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
	cases := Cases()
	bubble := func(i int) bool { return h.Bubble && !cases[i].real }
	trial.RunAll(t, namesOf(cases), bubble, func(ctx context.Context, i int, s trial.Settings) *trial.Trial {
		return cases[i].start(ctx, h, s)
	})
}

func namesOf(cases []Case) []string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.Name()
	}
	return names
}
