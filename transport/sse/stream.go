package sse

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// maxResets is how often in a row a stream may be reset without having turned
// live.
const maxResets = 3

// checkpointInterval is the shortest time between two checkpoints that are not
// heartbeats.
const checkpointInterval = time.Second

// stream is one client. All its fields belong to the goroutine that has its turn,
// before the first to that of its handler, except where a method says otherwise.
type stream struct {
	h         *Handler
	out       writer
	request   request
	filter    cdc.Filter
	user      string
	heartbeat time.Duration
	expires   time.Time
	expiry    EndReason // for which the stream expires
	rejection EndReason // for which it is not served
	remote    string
	opened    time.Time

	ctx    context.Context
	cancel context.CancelCauseFunc // by anyone, as a part of stop
	turns  turns
	parked *parked     // nil: its handler waits for it
	timer  *time.Timer // for the start, then for the end; nil if it has none

	revocations []func(user string) bool // while it arrives; guarded by Handler.mu

	pages        *wire.PagesData             // with which the client goes on
	start        cdc.Start                   // of the next follow
	follower     *cdc.Follower               // nil before it begins
	batches      iter.Seq2[cdc.Batch, error] // of follower; nil before it begins, and after a reset
	step         func(cdc.Batch, error) bool // takeStep
	failed       error                       // of the last step
	pos          cdc.Cursor                  // everything up to here was sent or did not match
	sent         cdc.Cursor                  // position of the last id; the tag may be missing
	helloSent    bool
	live         bool // announced
	resets       int  // in a row
	checkpointed time.Time

	status struct { // for Status, by anyone
		position, events, bytes atomic.Uint64
		replayed                atomic.Uint64 // of the events
		live                    atomic.Bool
	}
}

func (s *stream) begin() {
	s.start = s.request.start
	s.timer = s.endAfter(s.h.opts.Timeouts.Start, EndStartTimeout)
}

// proceed follows the log until the stream ends; the error says why. It is nil
// if there is nothing to send: the stream goes on by another call.
func (s *stream) proceed() error {
	for {
		err := s.follow()
		if err == nil {
			return nil
		}
		reset, ok := errors.AsType[*cdc.ResetError](err)
		if ok && s.resets >= maxResets {
			err = fmt.Errorf("sse: %d resets in a row: %w", s.resets, err)
			ok = false
		}
		if ok {
			err = s.reset(reset)
			s.start, s.batches = cdc.After(reset.Resume), nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) endAfter(d time.Duration, reason EndReason) *time.Timer {
	return time.AfterFunc(d, func() { s.stop(&endError{reason}) })
}

// stop ends the stream. Anyone may call it.
func (s *stream) stop(why error) {
	s.cancel(why)
	s.wake()
}

func (s *stream) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// follow serves the client from start on, or goes on where its follower is. The
// error is nil if that is idle.
func (s *stream) follow() error {
	if s.batches == nil {
		s.follower = s.h.hub.Follower(s.start, s.h.opts.follow(s.filter, s.heartbeat))
		s.batches, s.step = s.follower.Batches(s.ctx), s.takeStep // once: a turn allocates nothing
	}
	s.failed = nil
	s.batches(s.step)
	return s.failed
}

// takeStep is the body of the loop over batches.
func (s *stream) takeStep(b cdc.Batch, err error) bool {
	if err == nil {
		err = s.batch(b)
	}
	if err == nil {
		err = s.toPages()
	}
	s.failed = err
	return err == nil
}

// batch sends one step of the stream.
func (s *stream) batch(b cdc.Batch) error {
	moved := b.Cursor.Seq != s.pos.Seq || b.Cursor.Epoch != s.pos.Epoch
	s.pos = b.Cursor
	if !s.helloSent {
		return s.hello(nil)
	}
	s.status.position.Store(b.Cursor.Seq)
	s.status.live.Store(b.State == cdc.Live)
	if len(b.Events) > 0 {
		if err := s.events(b); err != nil {
			return err
		}
	}
	switch turned := b.State == cdc.Live && !s.live; {
	case turned:
		s.live, s.resets = true, 0
		err := s.control(control{name: wire.Live, id: s.id(b.Cursor)})
		if err == nil && s.request.limit > 0 {
			return &endError{EndLimit}
		}
		return err
	case b.State == cdc.Replaying && s.live:
		s.live = false
	}
	switch {
	case len(b.Events) > 0:
		return nil
	case moved:
		return s.progress()
	}
	return s.beat()
}

// hello is the first frame. A reset that stands in for the start leaves with
// it in one write. Should the stream be cut between the two, the client comes
// back with the id of the hello: it is then the cursor that was refused, and is
// refused again.
func (s *stream) hello(reset *cdc.ResetError) error {
	s.helloSent = true
	s.stopTimer()
	if !s.expires.IsZero() {
		s.timer = s.endAfter(time.Until(s.expires), s.expiry)
	}
	from, frames := s.pos, []control(nil)
	if reset != nil {
		from = refusedCursor(reset)
		frames = append(frames, s.resetFrame(reset))
	}
	first := control{
		name: wire.Hello, id: s.id(from), retry: jitter(s.h.opts.Retry),
		data: wire.HelloData{Log: s.pos.Epoch, From: from},
	}
	return s.control(append([]control{first}, frames...)...)
}

// refusedCursor is the cursor that was refused, or another one that always will be.
func refusedCursor(e *cdc.ResetError) cdc.Cursor {
	c, err := cdc.ParseCursor(e.Requested)
	if err != nil || c.Epoch == "" {
		return cdc.Cursor{Epoch: string(cdc.ReasonMalformed)}
	}
	return c
}

// reset tells the client that the stream goes on elsewhere.
func (s *stream) reset(e *cdc.ResetError) error {
	s.resets++
	s.h.counts.reset(e.Reason)
	s.live = false
	s.pos = e.Resume
	if !s.helloSent {
		return s.hello(e)
	}
	return s.control(s.resetFrame(e))
}

func (s *stream) resetFrame(e *cdc.ResetError) control {
	return control{name: wire.Reset, id: s.id(e.Resume), data: newResetData(e)}
}

// progress tells that the cursor has moved over events that did not match.
func (s *stream) progress() error {
	now := time.Now()
	switch {
	case s.h.opts.Compat:
		if now.Sub(s.out.last) < s.heartbeat/2 {
			return nil
		}
		return s.out.write([]byte(heartbeat))
	case now.Sub(s.checkpointed) < checkpointInterval:
		return nil // the next one or the heartbeat tells it
	}
	s.checkpointed = now
	return s.control(control{name: wire.Checkpoint, id: s.id(s.pos)})
}

// beat breaks the silence. If the client was not told of progress, it is the
// checkpoint.
func (s *stream) beat() error {
	now := time.Now()
	unsent := s.sent.Seq != s.pos.Seq && now.Sub(s.checkpointed) >= checkpointInterval
	if !s.h.opts.Compat && (unsent || s.request.beatEvent) {
		s.checkpointed = now
		return s.control(control{name: wire.Checkpoint, id: s.id(s.pos)})
	}
	return s.out.write([]byte(heartbeat))
}

// end tells the client that the stream ends, unless it cannot be reached. One
// that has gone is told too: net/http takes a client that closed only its side
// of the connection for one that has gone.
func (s *stream) end(err error) EndReason {
	reason := reasonFor(s.ctx, err)
	if _, unreachable := errors.AsType[*writeError](err); unreachable {
		return reason
	}
	if reason == EndClient {
		s.out.hurry()
	}
	retry := s.h.opts.Retry
	if reason == EndLog || reason == EndStartTimeout {
		s.h.report(err)
		retry *= 2
	}
	if s.pos.Epoch == "" { // not started: the client keeps the cursor that it has
		s.pos, _ = s.request.start.Cursor()
	}
	s.reconnect(retry)
	return reason
}

// reconnect asks the client to come back to where it is, after about retry.
func (s *stream) reconnect(retry time.Duration) {
	frame := control{name: wire.Reconnect, retry: jitter(retry)}
	if s.pages != nil {
		frame.data = wire.ReconnectData{Pages: s.pages}
	}
	if s.pos != (cdc.Cursor{}) {
		frame.id = s.id(s.pos)
	}
	_ = s.control(frame) // it is the end either way
	s.out.conclude()
}

// control sends control frames in one write; of those, the older dialect knows
// the reset alone.
func (s *stream) control(frames ...control) error {
	var room [512]byte
	out := room[:0]
	for _, f := range frames {
		if !s.h.opts.Compat || f.name == wire.Reset {
			out = f.append(out)
			s.sent = s.pos
		}
	}
	return s.out.write(out)
}

// events sends the events of a batch, piece by piece. A stream that is told to
// end does so after the piece that is under way.
func (s *stream) events(b cdc.Batch) error {
	before, epoch := s.out.bytes, b.Cursor.Epoch
	if b.State == cdc.Replaying {
		s.h.dispatcher.historians.Add(1)
		defer s.h.dispatcher.historians.Add(-1)
	}
	for sent := 0; sent < len(b.Events); {
		n, err := s.piece(epoch, s.withinLimit(b.Events, sent))
		if err != nil {
			return err
		}
		sent += n
		if b.State == cdc.Replaying {
			s.h.dispatcher.yield()
		}
		if err := s.enough(sent); err != nil && (sent < len(b.Events) || s.request.limit > 0) {
			b.Events, s.pos = b.Events[:sent], b.Events[sent-1].Cursor(epoch)
			s.account(b, before)
			return err
		}
	}
	s.account(b, before)
	return nil
}

// withinLimit returns the events of a batch that are still to be sent.
func (s *stream) withinLimit(events []cdc.Event, sent int) []cdc.Event {
	if s.request.limit == 0 {
		return events[sent:]
	}
	most := s.request.limit - int(s.status.events.Load()) // without those of this batch
	return events[sent:min(len(events), most)]
}

// enough returns why the stream ends after this many events of a batch, or nil.
func (s *stream) enough(sent int) error {
	limit := s.request.limit
	if limit > 0 && (int(s.status.events.Load())+sent >= limit || s.out.text() >= cdc.PageBytes) {
		return &endError{EndLimit}
	}
	return context.Cause(s.ctx)
}

// account counts events that were sent.
func (s *stream) account(b cdc.Batch, before uint64) {
	n := len(b.Events)
	s.sent = cdc.Cursor{Epoch: b.Cursor.Epoch, Seq: b.Events[n-1].Seq}
	s.status.events.Add(uint64(n))
	if b.State == cdc.Replaying {
		s.status.replayed.Add(uint64(n))
	}
	s.status.bytes.Store(s.out.bytes)
	observe(s.h, "Observer.StreamSent", s.h.opts.Observer.StreamSent, StreamSent{
		Events: n, Bytes: int(s.out.bytes - before), State: b.State,
		Delay: s.out.last.Sub(b.Events[n-1].Time),
	})
}

// observeEnd counts the end of the stream and tells the Observer.
func (s *stream) observeEnd(reason EndReason, admitted bool) {
	s.h.counts.ended(reason, admitted)
	observe(s.h, "Observer.StreamEnded", s.h.opts.Observer.StreamEnded, StreamEnded{
		Reason: reason, Admitted: admitted, Remote: s.remote, Cursor: s.pos,
		Events: s.status.events.Load(), Bytes: s.out.bytes, Age: time.Since(s.opened),
	})
}

// id is the text of a position on the wire.
func (s *stream) id(c cdc.Cursor) string {
	if s.h.opts.Compat {
		return strconv.FormatUint(c.Seq, 10)
	}
	return c.String()
}
