package conformance

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// trace is what was called, for the text of a failure.
type trace struct {
	mu    sync.Mutex
	calls int
	lines []string
}

// traceLines is how many calls a failure shows.
const traceLines = 40

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.lines = append(t.lines, fmt.Sprintf("%4d ", t.calls)+strings.TrimRight(fmt.Sprintf(format, args...), " "))
	if len(t.lines) > 4*traceLines {
		t.lines = append([]string(nil), t.lines[len(t.lines)-traceLines:]...)
	}
}

// String is the last calls, one a line.
func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines[max(0, len(t.lines)-traceLines):]
	text := strings.Join(lines, "\n    ")
	if t.calls > len(lines) {
		text = fmt.Sprintf("… %d calls before\n    ", t.calls-len(lines)) + text
	}
	return text
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return "error: " + err.Error()
}

func pageText(p cdc.Page, err error) string {
	if err != nil {
		return errText(err)
	}
	return eventsText(p.Events) + fmt.Sprintf(", next %d", p.Next)
}

func eventsText(events []cdc.Event) string { return seqsText(seqsOf(events)) }

func seqsText(seqs []uint64) string {
	const shown = 12
	switch {
	case len(seqs) == 0:
		return "no events"
	case len(seqs) <= shown:
		return strings.Trim(fmt.Sprint(seqs), "[]")
	}
	return fmt.Sprintf("%d … %d (%d events)", seqs[0], seqs[len(seqs)-1], len(seqs))
}

// shortCursor is a cursor without its epoch: a trace has one log.
func shortCursor(c cdc.Cursor) string {
	if c.Tag == "" {
		return fmt.Sprint(c.Seq)
	}
	return fmt.Sprintf("%d.%s", c.Seq, c.Tag)
}
