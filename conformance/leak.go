package conformance

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// leakLabel marks every goroutine that a case starts, directly or not.
const leakLabel = "gapless-conformance-case"

// labelled marks the goroutine of the case, and with it what it will start.
// The func that it returns takes the mark away and reports what is left.
func (t *trial) labelled() (stop func()) {
	t.label = fmt.Sprintf("%s-%d", strings.ReplaceAll(t.c.Name(), "/", "-"), placeNumber())
	value := t.label
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, value)))
	return func() {
		pprof.SetGoroutineLabels(context.Background())
		var left string
		gone := eventually(min(t.opts.Patience, 5*time.Second), func() bool {
			left = goroutinesWith(value)
			return left == "" || t.failed()
		})
		if !gone {
			t.note(verify.Contained, "goroutines are left after everything was closed:\n%s", left)
		}
	}
}

// eventually asks until done says so, and reports whether it did in time.
func eventually(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// countGoroutines returns how many goroutines carry the mark.
func countGoroutines(value string) int {
	n := 0
	for block := range strings.SplitSeq(goroutinesWith(value), "\n\n") {
		var same int
		if _, err := fmt.Sscanf(strings.TrimLeft(block, "\n"), "%d @", &same); err == nil {
			n += same
		}
	}
	return n
}

// goroutinesWith returns the stacks of the goroutines that carry the mark.
func goroutinesWith(value string) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return ""
	}
	var left []string
	_, text, _ := strings.Cut(all.String(), "\n") // the first line is a title
	for block := range strings.SplitSeq(text, "\n\n") {
		if strings.Contains(block, `"`+value+`"`) {
			left = append(left, block)
		}
	}
	return strings.Join(left, "\n\n")
}
