package capture_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/test/capture"
)

// results is the table to which each long run adds a line.
const results = "../../docs/results/capture-oracle.md"

// beginAt is the first seed: a long run goes on where the last one ended.
func beginAt(t *testing.T, d capture.Dialect) uint64 {
	t.Helper()
	if *firstSeed > 0 {
		return *firstSeed
	}
	next := uint64(1)
	if os.Getenv("GAPLESS_SOAK") == "" {
		return next
	}
	text, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var first, last uint64
		if n, _ := fmt.Sscanf(line, "| "+string(d)+" | %d to %d |", &first, &last); n == 2 {
			next = max(next, last+1)
		}
	}
	return next
}

// record adds a long run to the results.
func record(t *testing.T, c *counters) {
	t.Helper()
	if os.Getenv("GAPLESS_SOAK") == "" || *scripts > 0 || *every {
		return
	}
	file, err := os.OpenFile(results, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(file, "| %s | %d to %d | %d | %d | %d | %d | %d | %d |\n",
		c.Dialect, c.First, c.Last, c.Scripts, c.Refused, c.Statements, c.Events, c.Comparisons, c.Differences)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}
