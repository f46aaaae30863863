package trial

import (
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Await waits until ok, and ends the case if the stream ends before. ok is
// called with the stream locked.
func (s *Stream) Await(g verify.Guarantee, ok func(Progress) bool, format string, args ...any) {
	timer := time.NewTimer(s.t.Settings.Patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		good, err, changed := ok(s.progress), s.progress.Err, s.changed
		s.mu.Unlock()
		if good {
			return
		}
		what := fmt.Sprintf(format, args...)
		if err != nil {
			s.fail(g, "ended (%v) before %s", err, what)
		}
		select {
		case <-changed:
		case <-timer.C:
			s.fail(g, "not within %v: %s", s.t.Settings.Patience, what)
		}
	}
}

// fail ends the case. What the judge says about the stream comes first,
// because it says what is missing and not only that something is.
func (s *Stream) fail(g verify.Guarantee, format string, args ...any) {
	s.showHole()
	s.t.stopStreams()
	s.t.judge()
	s.t.FailWith(&verify.Violation{Guarantee: g, Stream: s.Name, Problem: fmt.Sprintf(format, args...)})
}

// showHole appends one more event and waits for it, so that what is missing
// becomes a hole that the judge can see.
func (s *Stream) showHole() {
	t := s.t
	if t.Latest == nil || s.Ended() {
		return
	}
	r, err := t.TryAppend(t.Latest, t.Event())
	if err != nil {
		return
	}
	t.Trace("-- the stream waits; one more event is committed")
	Within(t.Settings.Patience/10, func() bool { return LastSeq(s.Events()) >= r.Seqs[0] || s.Ended() })
}

// AwaitLive waits until the stream has caught up.
func (s *Stream) AwaitLive() {
	s.Await(verify.Live, func(p Progress) bool { return p.Lives > 0 }, "the stream turns live")
}

// AwaitFirst waits for the first batch and returns its cursor, the start.
func (s *Stream) AwaitFirst() cdc.Cursor {
	s.Await(verify.Live, func(p Progress) bool { return p.Batches > 0 }, "the first batch, with the cursor of the start")
	return s.First()
}

// AwaitEvent waits for the event with the seq.
func (s *Stream) AwaitEvent(seq uint64) {
	s.Await(verify.Live, func(p Progress) bool { return p.HasEvent(seq) }, "event %d arrives", seq)
}

// AwaitCursor waits until the cursor has reached the seq.
func (s *Stream) AwaitCursor(seq uint64) {
	s.Await(verify.Bookmark, func(p Progress) bool {
		return len(p.Cursors) > 0 && p.Cursors[len(p.Cursors)-1].Seq >= seq
	}, "the cursor reaches %d", seq)
}

// AwaitEnd waits until the stream has ended by itself and returns its error.
func (s *Stream) AwaitEnd() error {
	s.t.Wait(verify.Contained, s.done, "stream "+s.Name)
	return s.Err()
}

// Stop ends the stream and returns its error.
func (s *Stream) Stop() error {
	s.cancel()
	return s.AwaitEnd()
}
