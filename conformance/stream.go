package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// stream is a reader that follows a log and records what it gets.
type stream struct {
	t      *trial
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when the iterator has returned

	mu      sync.Mutex
	record  *verify.Stream
	events  []cdc.Event
	cursors []cdc.Cursor // of each batch
	first   cdc.Cursor
	batches int
	lives   int // batches that announced Live
	state   cdc.State
	err     error
	changed chan struct{}
	pause   chan struct{} // not nil: the reader waits here after each batch
}

// maxBatches is more than any case can need.
const maxBatches = 5_000

// follow starts a reader.
func (t *trial) follow(name string, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) *stream {
	return t.followContext(t.ctx, name, log, start, opts)
}

func (t *trial) followContext(ctx context.Context, name string, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) *stream {
	s := &stream{
		t: t, name: name, record: t.history.Stream(fmt.Sprintf("%q from %s", name, startText(start))),
		done: make(chan struct{}), changed: make(chan struct{}), state: -1,
	}
	if opts != nil && !opts.Filter.Empty() {
		s.record.Selects = func(verify.Record) bool { return false } // the case judges it
	}
	ctx, s.cancel = context.WithCancel(ctx)
	t.streams = append(t.streams, s)
	go s.run(ctx, bare(log), start, opts)
	return s
}

func (s *stream) run(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) {
	defer close(s.done)
	defer func() {
		if r := recover(); r != nil {
			s.t.note(verify.Contained, "stream %s panicked: %v", s.name, r)
			s.took(cdc.Batch{}, errors.New("panicked"))
		}
	}()
	for batch, err := range s.t.h.follow(ctx, log, start, opts) {
		if pause := s.took(batch, err); pause != nil {
			select {
			case <-pause:
			case <-ctx.Done():
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.t.note(verify.Contained, "stream %s ended without an error", s.name)
		s.err = errors.New("ended without an error")
	}
	s.announce()
}

// took records a batch and returns what the reader is to wait for, if anything.
func (s *stream) took(b cdc.Batch, err error) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.record.Finish(err)
		s.err = err
		s.t.trace.add("stream %s ends: %v", s.name, err)
		s.announce()
		return nil
	}
	s.t.looked()
	s.record.Batch(b)
	if s.batches == 0 {
		s.first = b.Cursor
	}
	if s.batches++; s.batches == maxBatches {
		s.t.note(verify.Contained, "stream %s yielded %d batches: it does not come to rest", s.name, maxBatches)
		s.cancel()
	}
	if b.State == cdc.Live && s.state != cdc.Live {
		s.lives++
	}
	s.state = b.State
	s.events = append(s.events, b.Events...)
	s.cursors = append(s.cursors, b.Cursor)
	s.t.trace.add("stream %s: %s, %s at %s", s.name, b.State, eventsText(b.Events), shortCursor(b.Cursor))
	s.announce()
	return s.pause
}

func (s *stream) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until ok, which is called with the stream locked.
func (s *stream) await(g Guarantee, ok func() bool, format string, args ...any) {
	timer := time.NewTimer(s.t.opts.Patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		good, err, changed := ok(), s.err, s.changed
		s.mu.Unlock()
		if good {
			return
		}
		what := fmt.Sprintf(format, args...)
		if err != nil {
			s.t.streamFailed(g, s, "ended (%v) before "+"%s", err, what)
		}
		select {
		case <-changed:
		case <-timer.C:
			s.t.streamFailed(g, s, "not within %v: %s", s.t.opts.Patience, what)
		}
	}
}

// streamFailed ends the case. What the judge says about the stream comes
// first, because it says what is missing and not only that something is.
func (t *trial) streamFailed(g Guarantee, s *stream, format string, args ...any) {
	t.showHole(s)
	t.stopStreams()
	t.judge()
	t.add(&Violation{Guarantee: g, Stream: s.name, Problem: fmt.Sprintf(format, args...)})
	panic(ended{})
}

// showHole appends one more event and waits for it, so that what is missing
// becomes a hole that the judge can see.
func (t *trial) showHole(s *stream) {
	if t.latest.Log == nil || s.ended() {
		return
	}
	r, err := t.tryAppend(t.latest, t.event())
	if err != nil {
		return
	}
	t.trace.add("-- the stream waits; one more event is committed")
	eventually(t.opts.Patience/10, func() bool { return lastSeq(s.got()) >= r.Seqs[0] || s.ended() })
}

func (s *stream) ended() bool { return s.failure() != nil }

// failure is the final error, nil while the stream goes on.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// live waits until the stream has caught up.
func (s *stream) live() {
	s.await(verify.Live, func() bool { return s.lives > 0 }, "the stream turns live")
}

// begun waits for the first batch.
func (s *stream) begun() cdc.Cursor {
	s.await(verify.Live, func() bool { return s.batches > 0 }, "the first batch, with the cursor of the start")
	return s.first
}

// until waits for the event with the seq.
func (s *stream) until(seq uint64) {
	s.await(verify.Live, func() bool {
		return slices.ContainsFunc(s.events, func(e cdc.Event) bool { return e.Seq == seq })
	}, "event %d arrives", seq)
}

// reaches waits until the cursor has reached the seq.
func (s *stream) reaches(seq uint64) {
	s.await(verify.Bookmark, func() bool {
		return len(s.cursors) > 0 && s.cursors[len(s.cursors)-1].Seq >= seq
	}, "the cursor reaches %d", seq)
}

// ends waits until the stream has ended by itself and returns its error.
func (s *stream) ends() error {
	s.t.wait(verify.Contained, s.done, "stream "+s.name)
	return s.err
}

// stop ends the stream and returns its error.
func (s *stream) stop() error {
	s.cancel()
	return s.ends()
}

// got returns what was delivered so far.
func (s *stream) got() []cdc.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// positions returns the cursors of all batches so far.
func (s *stream) positions() []cdc.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cursors)
}

// fence appends a marker and waits until every stream has it: whatever the
// streams had to deliver before has come, or is missing.
func (t *trial) fence(log cdc.Log, streams ...*stream) uint64 {
	seq := t.append(log, t.event()).Seqs[0]
	for _, s := range streams {
		s.until(seq)
	}
	return seq
}

// stopStreams ends every stream that is still running.
func (t *trial) stopStreams() {
	for _, s := range t.streams {
		s.cancel()
	}
	for _, s := range t.streams {
		timer := time.NewTimer(t.opts.Patience)
		select {
		case <-s.done:
		case <-timer.C:
			t.note(verify.Contained, "stream %s did not end within %v of the end of its context", s.name, t.opts.Patience)
		}
		timer.Stop()
	}
	t.streams = nil
}

func startText(s cdc.Start) string {
	if c, ok := s.Cursor(); ok {
		return shortCursor(c)
	}
	return s.String()
}
