package redislog

import (
	"slices"
	"strings"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// tracker is what this process knows of the log. Every answer of the server
// goes through it, for two reasons: whoever waits for more is woken, and a
// server that knows less than it has answered before is found out.
type tracker struct {
	mu           sync.Mutex
	clock        uint64 // grows with every question
	learned      uint64 // clock when the epoch was learned
	bounds       cdc.Bounds
	mark         mark
	formerEpochs []string      // epochs before this one, the newest last
	changed      chan struct{} // closed at the next change; nil while nobody waits
	closed       bool
}

// question is what the process knew before it asked.
type question struct {
	bounds       cdc.Bounds
	mark         mark
	formerEpochs []string // epochs that the log must not go back to
	asked        uint64
}

// maxFormerEpochs is how many epochs are remembered. One that comes back is that
// of a replica that was promoted and had not got the change: the last few are
// enough.
const maxFormerEpochs = 8

// mark is the newest event that was read or appended; its seq is 0 if there is
// none. A server that has another one in its place is not the one that was asked
// before, or has gone back.
type mark struct {
	cdc.Cursor        // with its tag
	time       int64  // microseconds, the name of its field
	size       int    // bytes of its value
	begin      string // of its value, at most markBytes
}

// markBytes is enough to hold the texts of most events, and an ID.
const markBytes = 256

func newMark(epoch string, e cdc.Event) mark {
	m := mark{Cursor: e.Cursor(epoch), time: e.Time.UnixMicro()}
	data := e.Data
	e.Data = data[:min(len(data), markBytes)]
	var value strings.Builder
	writeValue(&value, &e)
	m.size = value.Len() + len(data) - len(e.Data)
	m.begin = value.String()[:min(value.Len(), markBytes)]
	return m
}

// ask must be called before the server is asked.
func (t *tracker) ask() question {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock++
	return question{bounds: t.bounds, mark: t.mark, formerEpochs: t.formerEpochs, asked: t.clock}
}

// answer takes note of what the server answered to the question. Answers may
// arrive in any order: one that was asked for before the current epoch was
// learned may still speak of the one before.
func (t *tracker) answer(q question, b cdc.Bounds) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.Epoch != t.bounds.Epoch {
		if q.asked <= t.learned {
			return
		}
		if t.bounds.Epoch != "" {
			t.formerEpochs = append(slices.Clone(t.formerEpochs[max(0, len(t.formerEpochs)-maxFormerEpochs+1):]), t.bounds.Epoch) // others hold the slice
		}
		t.bounds, t.mark, t.learned = b, mark{}, t.clock
		t.wake()
		return
	}
	t.bounds.Floor = max(t.bounds.Floor, b.Floor)
	if b.Last > t.bounds.Last {
		t.bounds.Head, t.bounds.Last = b.Head, b.Last
		t.wake()
	}
}

// saw remembers the newest event that was read or appended.
func (t *tracker) saw(epoch string, e cdc.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch == t.bounds.Epoch && e.Seq > t.mark.Seq {
		t.mark = newMark(epoch, e)
	}
}

func (t *tracker) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.wake()
}

// wake must be called with mu held.
func (t *tracker) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// wait returns the channel that the next change closes, if nothing has changed
// since the bounds: another epoch, a higher last, or the end.
func (t *tracker) wait(since cdc.Bounds) (now cdc.Bounds, closed bool, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.bounds.Epoch != since.Epoch || t.bounds.Last > since.Last {
		return t.bounds, t.closed, nil
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.bounds, false, t.changed
}
