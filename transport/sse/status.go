package sse

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// StreamStatus is one open stream at one moment.
type StreamStatus struct {
	Remote   string // address of the client or of the proxy before it
	Filter   cdc.Filter
	Opened   time.Time
	State    cdc.State
	Position uint64 // seq up to which everything was sent or did not match
	Events   uint64 // sent: the operating system has them, and the client perhaps not yet
	Replayed uint64 // of them, while it was replaying
	Bytes    uint64 // sent in frames of events, as they were compressed
	Parked   bool   // it has no goroutine at this moment
}

func (s *stream) now() StreamStatus {
	one := StreamStatus{
		Remote: s.remote, Filter: s.filter, Opened: s.opened,
		Position: s.status.position.Load(), Events: s.status.events.Load(),
		Replayed: s.status.replayed.Load(), Bytes: s.status.bytes.Load(),
	}
	if s.status.live.Load() {
		one.State = cdc.Live
	}
	one.Parked = s.isParked()
	return one
}

// Status is what a [Handler] does and has done since it was made.
type Status struct {
	Open     int    // streams
	Max      int    // Limits.Streams: how many can be open; 0 is no limit
	Draining bool   // whoever comes is told to reconnect, since Drain or Close
	Opened   uint64 // streams that were admitted

	// With Limits.Park, Parked is how many of the open streams have no
	// goroutine at this moment, and Unparkable how many of those that were
	// admitted are, or were, served as without it.
	Parked     int
	Unparkable uint64

	// Compressed is, with Limits.Compress, how many of the streams that were
	// admitted are, or were, compressed.
	Compressed uint64

	// Events and Bytes were sent, that is, written: the operating system has
	// them, and only the clients know what they have received. Of a stream that
	// is compressed Bytes are what it was made. Replayed is how many of the
	// events left while their stream was replaying.
	Events, Replayed, Bytes uint64

	Ended   map[EndReason]uint64 // streams that were admitted
	Refused map[EndReason]uint64 // streams that were not
	Resets  map[cdc.Reason]uint64

	Failures uint64    // errors that Options.OnError is told, and Report
	Recent   []Failure // the last of them, the newest first

	streams []*stream
}

// Failure is an error, as often as it came in a row.
type Failure struct {
	Time  time.Time // of the last
	Text  string    // at most 300 bytes
	Count uint64
}

// Status returns what the Handler does now. It costs some nanoseconds for each
// open stream, for which no stream is held up.
func (h *Handler) Status() Status {
	var status Status
	h.mu.Lock()
	streams := slices.AppendSeq(make([]*stream, 0, len(h.streams)), maps.Keys(h.streams))
	status.Draining, status.Max = h.draining, h.opts.Limits.Streams
	h.counts.fill(&status) // with those that are no longer in h.streams
	h.mu.Unlock()
	status.Open, status.streams = len(streams), streams
	for _, s := range streams {
		status.Events += s.status.events.Load()
		status.Replayed += s.status.replayed.Load()
		status.Bytes += s.status.bytes.Load()
		if s.isParked() {
			status.Parked++
		}
	}
	return status
}

// Streams yields the streams that were open at the time of the Status, in no
// order, as each is when it is yielded.
func (s Status) Streams() iter.Seq[StreamStatus] {
	return func(yield func(StreamStatus) bool) {
		for _, one := range s.streams {
			if !yield(one.now()) {
				return
			}
		}
	}
}

const (
	maxRecent       = 20  // failures
	maxFailureBytes = 300 // of the text of each
)

// counts are what a Handler remembers of the past.
type counts struct {
	opened, unparkable, compressed atomic.Uint64

	mu                      sync.Mutex
	events, replayed, bytes uint64 // of streams that have ended
	ends, refused           map[EndReason]uint64
	resets                  map[cdc.Reason]uint64
	failures                uint64
	recent                  []Failure // the newest last
}

func (c *counts) fill(s *Status) {
	s.Opened, s.Unparkable, s.Compressed = c.opened.Load(), c.unparkable.Load(), c.compressed.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Events, s.Replayed, s.Bytes = c.events, c.replayed, c.bytes
	s.Ended, s.Refused, s.Resets = maps.Clone(c.ends), maps.Clone(c.refused), maps.Clone(c.resets)
	s.Failures, s.Recent = c.failures, slices.Clone(c.recent)
	slices.Reverse(s.Recent)
}

// add takes over what the stream has sent. Handler.mu is held, so that a
// Status counts it once.
func (c *counts) add(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += s.status.events.Load()
	c.replayed += s.status.replayed.Load()
	c.bytes += s.status.bytes.Load()
}

func (c *counts) ended(reason EndReason, admitted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if admitted {
		increment(&c.ends, reason)
	} else {
		increment(&c.refused, reason)
	}
}

func (c *counts) reset(reason cdc.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	increment(&c.resets, reason)
}

// increment counts a reason. They are few; should a source invent them, those
// that come too late are counted together.
func increment[K ~string](m *map[K]uint64, reason K) {
	const limit = 32
	if *m == nil {
		*m = map[K]uint64{}
	}
	if _, counted := (*m)[reason]; !counted && len(*m) >= limit {
		reason = "other"
	}
	(*m)[reason]++
}

func (c *counts) failed(err error) {
	text := fmt.Sprint(err) // survives an Error method that panics
	if len(text) > maxFailureBytes {
		text = strings.ToValidUTF8(text[:maxFailureBytes-len("…")], "") + "…"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	if n := len(c.recent); n == 0 || c.recent[n-1].Text != text {
		if n == maxRecent {
			c.recent = slices.Delete(c.recent, 0, 1)
		}
		c.recent = append(c.recent, Failure{Text: text})
	}
	last := &c.recent[len(c.recent)-1]
	last.Time, last.Count = time.Now(), last.Count+1
}
