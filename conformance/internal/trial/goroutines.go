package trial

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

// newLabel is the mark of a case, which no other run has.
func newLabel(name string) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(name, "/", "-"), number())
}

// labelGoroutines marks the goroutine of the case, and with it what it will
// start. The func that it returns takes the mark away and reports what goes on.
func (t *Trial) labelGoroutines() (check func()) {
	value := t.label
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(leakLabel, value)))
	return func() {
		pprof.SetGoroutineLabels(context.Background())
		deadline := time.Now().Add(min(t.Settings.Patience, 5*time.Second))
		// Each look stops the world, so the pauses grow.
		for pause := time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
			remaining := goroutinesWith(value)
			switch {
			case remaining == "" || t.Failed():
				return
			case time.Now().After(deadline):
				t.Note(verify.Contained, "goroutines are left after everything was closed:\n%s", remaining)
				return
			}
			time.Sleep(pause)
		}
	}
}

// Goroutines returns how many goroutines of the case there are.
func (t *Trial) Goroutines() int {
	n := 0
	for block := range strings.SplitSeq(goroutinesWith(t.label), "\n\n") {
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
	var found []string
	_, text, _ := strings.Cut(all.String(), "\n") // the first line is a title
	for block := range strings.SplitSeq(text, "\n\n") {
		if strings.Contains(block, `"`+value+`"`) {
			found = append(found, block)
		}
	}
	return strings.Join(found, "\n\n")
}
