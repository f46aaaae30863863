package capture_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/test/capture"
)

// prices is written by a run with GAPLESS_REWRITE.
const prices = "../../docs/results/capture-price.md"

const pricesHead = `# What Capture costs a statement

INSERT, UPDATE and DELETE of so many rows in one statement, with capture against the same statement in a database without, written by

` + "```sh\nmake price\n```" + `

The turns of a pair follow each other at once and begin with each side in every second pair; ratios are medians over the pairs, and so is what a row costs
more. The machine has %d cores and other programs ran on it: a ratio of neighbouring turns holds, an absolute time is too high. Rows have an integer key, a
short text and an integer; the table has 20,000 others; the table has no other index or trigger, and commits are not synced (PostgreSQL
` + "`synchronous_commit=off`, SQLite `synchronous(OFF)`, MariaDB `innodb_flush_log_at_trx_commit=2`" + `), so a ratio is worse than where commits wait for a disk.
An UPDATE or DELETE writes old and new row into the event. %s.

` + "`TestCostOfARowDoesNotGrow`" + ` holds each database to a linear cost from 1,000 to 8,000 rows. A negative figure is what the others on the machine made of it.

| | Statement | Rows | Pairs | Against without capture | µs a row without | µs a row more |
|---|---|---|---|---|---|---|
`

func TestPriceOfCapture(t *testing.T) {
	rewrite := os.Getenv("GAPLESS_REWRITE") != ""
	turns := map[int]int{1: 10, 100: 5}
	if rewrite {
		turns = map[int]int{1: 101, 100: 31, 20_000: 7}
	}
	var lines strings.Builder
	for _, d := range []capture.Dialect{capture.Postgres, capture.MariaDB, capture.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			j := start(t, d).judge(t, d)
			for _, n := range []int{1, 100, 20_000} {
				if turns[n] == 0 {
					continue
				}
				measured, err := j.Price(t.Context(), n, turns[n])
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range measured {
					fmt.Fprintf(&lines, "| %s | %s | %d | %d | %.1f | %.1f | %.1f |\n", d, p.Statement, n, turns[n], p.Ratio(), micros(p.PlainRow()), micros(p.PerRow()))
				}
			}
		})
	}
	t.Logf("\n%s", &lines)
	if rewrite && !t.Failed() {
		text := fmt.Sprintf(pricesHead, runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly)) + lines.String()
		if err := os.WriteFile(prices, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
