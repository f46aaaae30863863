package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// CheckAll runs the cases that the patterns select, in real time and one after
// the other, and reports each. Without Settings.Dir they get a temporary folder.
func CheckAll(ctx context.Context, s Settings, names, patterns []string, start Start, report func(i int, r Result)) error {
	s = s.WithDefaults()
	if s.Dir == "" {
		dir, err := os.MkdirTemp("", "conformance-")
		if err != nil {
			return err
		}
		s.Dir = dir
		defer func() { _ = os.RemoveAll(dir) }()
	}
	for i, name := range names {
		if ctx.Err() == nil && selected(patterns, name) {
			report(i, start(ctx, i, s).Watch())
		}
	}
	return nil
}

// selected reports whether one of the patterns matches the name, as
// [path.Match] does. A pattern without a slash is a guarantee.
func selected(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		if !strings.Contains(pattern, "/") {
			return strings.HasPrefix(name, pattern+"/")
		}
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// Result is what became of one case.
type Result struct {
	Subject  Subject
	Skipped  string
	Faults   []error
	Trace    string
	Seed     uint64
	Duration time.Duration
	History  *verify.History // nil if the case was given up
}

func (t *Trial) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Result{Subject: t.Subject, Skipped: t.skip, Faults: slices.Clone(t.faults), Seed: t.Settings.Seed, History: t.History}
	if t.givenUp {
		r.History = nil
	}
	if len(r.Faults) > 0 {
		r.Skipped, r.Trace = "", t.calls.String()
	}
	return r
}

// String is the text of the failure: the promise, what was expected and seen,
// and the calls that led there. Each promise is told once.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  %s promises: %s\n", r.Subject.Name, r.Subject.Sentence, r.Subject.Guarantee, r.Subject.Guarantee.Sentence())
	told := []verify.Guarantee{r.Subject.Guarantee}
	for i, err := range r.Faults {
		if i == 5 {
			fmt.Fprintf(&b, "  and %d more\n", len(r.Faults)-i)
			break
		}
		text := err.Error()
		if v, ok := errors.AsType[*verify.Violation](err); ok {
			if slices.Contains(told, v.Guarantee) {
				text = strings.TrimPrefix(text, string(v.Guarantee)+": "+v.Guarantee.Sentence()+"\n")
			}
			told = append(told, v.Guarantee)
		}
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	if r.Trace != "" {
		fmt.Fprintf(&b, "\n  calls:\n    %s\n", r.Trace)
	}
	fmt.Fprintf(&b, "\n  seed %d", r.Seed)
	return b.String()
}
