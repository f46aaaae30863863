package trial

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

// Progress is how far a stream has come.
type Progress struct {
	Events  []cdc.Event
	Cursors []cdc.Cursor // of each batch
	Batches int
	Lives   int // batches that announced Live
	State   cdc.State
	Err     error // the final error, nil while the stream goes on
}

// HasEvent reports whether the event with the seq was delivered.
func (p Progress) HasEvent(seq uint64) bool {
	return slices.ContainsFunc(p.Events, func(e cdc.Event) bool { return e.Seq == seq })
}

// EndedOr reports whether the stream has ended or delivered the seq.
func (p Progress) EndedOr(seq uint64) bool { return p.Err != nil || LastSeq(p.Events) >= seq }

// Stream is a reader that follows a log and records what it gets.
type Stream struct {
	Name string

	t      *Trial
	cancel context.CancelFunc
	done   chan struct{} // closed when the iterator has returned

	mu       sync.Mutex
	record   *verify.Stream
	progress Progress
	changed  chan struct{} // closed with each batch, and made anew
	pause    chan struct{} // not nil: the reader waits here after each batch
}

// maxBatches is more than any case can need.
const maxBatches = 5_000

// Quiet are options under which nothing but the log makes a stream move.
func Quiet() *cdc.FollowOptions {
	return &cdc.FollowOptions{PageSize: 2, Heartbeat: time.Hour}
}

// Follow starts a reader.
func (t *Trial) Follow(name string, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) *Stream {
	return t.FollowContext(t.Ctx, name, log, start, opts)
}

// FollowContext starts a reader that ends with the context.
func (t *Trial) FollowContext(ctx context.Context, name string, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) *Stream {
	s := &Stream{
		t: t, Name: name, record: t.History.Stream(fmt.Sprintf("%q from %s", name, startText(start))),
		done: make(chan struct{}), changed: make(chan struct{}), progress: Progress{State: -1},
	}
	if opts != nil && !opts.Filter.Empty() {
		s.record.Selects = func(verify.Record) bool { return false } // the case judges it
	}
	ctx, s.cancel = context.WithCancel(ctx)
	t.streams = append(t.streams, s)
	go s.run(ctx, log, start, opts)
	return s
}

func (s *Stream) run(ctx context.Context, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) {
	defer close(s.done)
	defer func() {
		if r := recover(); r != nil {
			s.t.Note(verify.Contained, "stream %s panicked: %v", s.Name, r)
			s.take(cdc.Batch{}, errors.New("panicked"))
		}
	}()
	for batch, err := range s.t.store.Follow(ctx, log, start, opts) {
		if pause := s.take(batch, err); pause != nil {
			select {
			case <-pause:
			case <-ctx.Done():
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress.Err == nil {
		s.t.Note(verify.Contained, "stream %s ended without an error", s.Name)
		s.progress.Err = errors.New("ended without an error")
	}
	s.announce()
}

// take records a batch and returns what the reader is to wait for, if anything.
func (s *Stream) take(b cdc.Batch, err error) (pause <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	p := &s.progress
	if err != nil {
		s.record.Finish(err)
		p.Err = err
		s.t.Trace("stream %s ends: %v", s.Name, err)
		return nil
	}
	s.t.Checked()
	s.record.Batch(b)
	if p.Batches++; p.Batches == maxBatches {
		s.t.Note(verify.Contained, "stream %s yielded %d batches: it does not come to rest", s.Name, maxBatches)
		s.cancel()
	}
	if b.State == cdc.Live && p.State != cdc.Live {
		p.Lives++
	}
	p.State = b.State
	p.Events = append(p.Events, b.Events...)
	p.Cursors = append(p.Cursors, b.Cursor)
	s.t.Trace("stream %s: %s, %s at %s", s.Name, b.State, EventsText(b.Events), CursorText(b.Cursor))
	return s.pause
}

func (s *Stream) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Hold makes the consumer of the stream stand still after its next batch.
func (s *Stream) Hold() (resume func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = gate
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pause = nil
		close(gate)
	}
}

// Progress returns how far the stream has come.
func (s *Stream) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress
	p.Events, p.Cursors = slices.Clone(p.Events), slices.Clone(p.Cursors)
	return p
}

// Events returns what was delivered so far.
func (s *Stream) Events() []cdc.Event { return s.Progress().Events }

// Err is the final error, nil while the stream goes on.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress.Err
}

// Ended reports whether the stream has ended.
func (s *Stream) Ended() bool { return s.Err() != nil }

// First returns the cursor of the first batch, zero if none came.
func (s *Stream) First() cdc.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.progress.Cursors) == 0 {
		return cdc.Cursor{}
	}
	return s.progress.Cursors[0]
}

// Fence appends a marker and waits until every stream has it: whatever the
// streams had to deliver before has come, or is missing.
func (t *Trial) Fence(log cdc.Log, streams ...*Stream) uint64 {
	seq := t.Append(log, t.Event()).Seqs[0]
	for _, s := range streams {
		s.AwaitEvent(seq)
	}
	return seq
}

// stopStreams ends every stream that is still running.
func (t *Trial) stopStreams() {
	for _, s := range t.streams {
		s.cancel()
	}
	for _, s := range t.streams {
		timer := time.NewTimer(t.Settings.Patience)
		select {
		case <-s.done:
		case <-timer.C:
			t.Note(verify.Contained, "stream %s did not end within %v of the end of its context", s.Name, t.Settings.Patience)
		}
		timer.Stop()
	}
	t.streams = nil
}

func startText(s cdc.Start) string {
	if c, ok := s.Cursor(); ok {
		return CursorText(c)
	}
	return s.String()
}
