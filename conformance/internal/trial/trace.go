package trial

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// callTrace is what was called, for the text of a failure.
type callTrace struct {
	mu    sync.Mutex
	calls int
	lines []string
}

// traceLines is how many calls a failure shows.
const traceLines = 40

func (t *callTrace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.lines = append(t.lines, fmt.Sprintf("%4d ", t.calls)+strings.TrimRight(fmt.Sprintf(format, args...), " "))
	if len(t.lines) > 4*traceLines {
		t.lines = append([]string(nil), t.lines[len(t.lines)-traceLines:]...)
	}
}

// String is the last calls, one a line.
func (t *callTrace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines[max(0, len(t.lines)-traceLines):]
	text := strings.Join(lines, "\n    ")
	if t.calls > len(lines) {
		text = fmt.Sprintf("… %d calls before\n    ", t.calls-len(lines)) + text
	}
	return text
}

// ErrText is empty if there is no error.
func ErrText(err error) string {
	if err == nil {
		return ""
	}
	return "error: " + err.Error()
}

// PageText is what Read returned.
func PageText(p cdc.Page, err error) string {
	if err != nil {
		return ErrText(err)
	}
	return EventsText(p.Events) + fmt.Sprintf(", next %d", p.Next)
}

// EventsText names the events by their seqs.
func EventsText(events []cdc.Event) string { return seqsText(SeqsOf(events)) }

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

// CursorText is a cursor without its epoch: a trace has one log.
func CursorText(c cdc.Cursor) string {
	if c.Tag == "" {
		return fmt.Sprint(c.Seq)
	}
	return fmt.Sprintf("%d.%s", c.Seq, c.Tag)
}

// NextText is what Next returned.
func NextText(events []cdc.Event, err error) string {
	switch {
	case err != nil:
		return ErrText(err)
	case len(events) == 0:
		return "a wake-up"
	}
	return EventsText(events)
}
