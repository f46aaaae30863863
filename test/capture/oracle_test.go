package capture_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/test/capture"
)

var (
	firstSeed = flag.Uint64("seed", 0, "the first seed; with -scripts=1 it replays one; 0: after those in the results")
	scripts   = flag.Int("scripts", 0, "how many scripts; 0: as many as fit the time")
	every     = flag.Bool("every", false, "make the avoided kinds, too")
	raw       = flag.Bool("raw", false, "shrink nothing")
	goOn      = flag.Bool("go-on", false, "go on after a difference")
)

// budget is how long scripts of one dialect are made.
func budget() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GAPLESS_SOAK")); err == nil {
		return d
	}
	return 20 * time.Second
}

func TestCaptureChangesNothingAndMissesNothing(t *testing.T) {
	for _, d := range []capture.Dialect{capture.Postgres, capture.MariaDB, capture.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			j := start(t, d).judge(t, d)
			sum := counters{Dialect: d, First: beginAt(t, d), Reasons: map[string]int{}}
			begun := time.Now()
			for seed := sum.First; ; seed++ {
				if n := int(seed - sum.First); *scripts > 0 && n >= *scripts || *scripts == 0 && time.Since(begun) > budget() {
					break
				}
				sum.Last = seed
				judgeOne(t, j, seed, &sum)
				if t.Failed() && !*goOn {
					break
				}
			}
			t.Log(sum.String())
			sum.check(t)
			record(t, &sum)
		})
	}
}

// judgeOne runs the script of a seed, and prints the smallest one that differs.
func judgeOne(t *testing.T, j *capture.Judge, seed uint64, sum *counters) {
	t.Helper()
	avoided := capture.Avoided()
	if *every {
		avoided = nil
	}
	s := capture.Generate(j.Dialect, seed, avoided)
	report, err := j.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	sum.add(report)
	if report.Difference == nil {
		return
	}
	if *raw {
		t.Errorf("seed %d: %s at step %d: %s", seed, report.Difference.Kind, report.Difference.Step, report.Difference.Detail)
		return
	}
	small, difference, err := j.Shrink(t.Context(), s, report.Difference)
	if err != nil {
		t.Error(err)
	}
	t.Errorf("seed %d: %s at step %d: %s\n%s", seed, difference.Kind, difference.Step, difference.Detail, small.SQL())
}

// counters add up over scripts.
type counters struct {
	Dialect                                 capture.Dialect
	First, Last                             uint64
	Scripts, Refused, Invalid, Differences  int
	Statements, Failed, Events, Comparisons int
	Reasons                                 map[string]int
}

func (c *counters) add(r *capture.Report) {
	c.Scripts++
	c.Statements += r.Statements
	c.Failed += r.Failed
	c.Events += r.Events
	c.Comparisons += r.Folds
	if r.Refused != "" {
		c.Refused++
		_, reason, _ := strings.Cut(r.Refused, ": ")
		c.Reasons["refused: "+clip(reason)]++
	}
	if r.Invalid != "" {
		c.Invalid++
		c.Reasons["invalid: "+clip(r.Invalid)]++
	}
	if r.Difference != nil {
		c.Differences++
	}
}

func clip(text string) string { return text[:min(len(text), 160)] }

func (c *counters) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, seeds %d to %d: %d scripts, %d statements (%d fail in both), %d events, %d comparisons of a table with its events, %d refused, %d invalid, %d differences",
		c.Dialect, c.First, c.Last, c.Scripts, c.Statements, c.Failed, c.Events, c.Comparisons, c.Refused, c.Invalid, c.Differences)
	if testing.Verbose() {
		for reason, n := range c.Reasons {
			fmt.Fprintf(&text, "\n%5d %s", n, reason)
		}
	}
	return text.String()
}

// check wants the scripts to be worth something.
func (c *counters) check(t *testing.T) {
	t.Helper()
	if t.Failed() || *scripts > 0 && *scripts < 100 {
		return
	}
	if c.Invalid*50 > c.Scripts+100 || c.Refused*4 > c.Scripts || c.Failed*2 > c.Statements || c.Events < c.Scripts {
		t.Errorf("too little is compared: %s", c)
	}
}
