package cdc

import (
	"fmt"
	"sync"
	"time"
)

// HubOptions of [NewHub]; nil means the defaults.
type HubOptions struct {
	// TailEvents and TailBytes ([Event.Size]) bound the newest part of the log
	// that is kept in memory. 0 means 8192 events and 16 MiB; negative is
	// refused. A follower that falls further behind reads the log.
	TailEvents int
	TailBytes  int

	// OnError is called with every error of the log that the Hub recovers from:
	// it waits, subscribes again and reads what it missed. The Hub's only
	// reader calls it, so it must not block. If it panics, that is counted as
	// an error. nil means that errors are only counted, in [HubStatus].
	OnError func(error)
}

// Hub makes many followers of one log cheap for one process: it has one
// subscription on the log and one reader, which keeps the newest events in a
// shared tail. Followers are positions in that tail. Those below it read the
// log, and the Hub makes one read of identical or neighbouring ones. It is a
// [Log] itself. Use [NewHub] and Close.
type Hub struct {
	log   Log
	opts  HubOptions
	tasks *tasks // the reader and the shared reads
	reads hubReads

	// A follower's read is answered by the tail if that holds its position;
	// below the tail by a page that was read before (cold), or by the log's own
	// index for a filter (filtered), at the end of the tail by a read that is
	// shared (edge).
	reaching *flights[struct{}, struct{}]
	bounds   *flights[struct{}, Bounds]
	edge     *flights[edgeRead, Page]
	filtered *flights[filteredRead, Page]
	cold     coldReads

	// The reader moves the tail between its states; until it is placed, the
	// first follower may do that instead.
	//
	//	unplaced ── place ──▶ unverified ── verify ──▶ verified ──╮ publish
	//	                          ▲                        │  ▲   │
	//	                          ╰──────── place ─────────╯  ╰───╯
	//
	// place puts the tail at the head that the bounds of the log show: the
	// first time, when retention has overtaken the tail, and when the log was
	// replaced (a new epoch, or rewound). verify reads the event there for its
	// tag: only with it is a log noticed that goes back and grows again.
	// publish adds what was read or came live.
	//
	// The reader works in sessions. A session subscribes, verifies, reads what
	// was missed and then what comes, until the subscription breaks or the log
	// is replaced; the next one begins after a pause.
	//
	// A follower compares its own moves and resets with these at each Next:
	// another number of moves means read the log, of resets end with reset.
	mu      sync.Mutex
	state   tailState
	tail    tail          // without an epoch while unplaced
	moves   uint64        // how often the tail was put elsewhere or verified
	resets  uint64        // how often the log was replaced
	reset   *ResetError   // of the last time
	changes uint64        // how often wake was called
	changed chan struct{} // closed at the next change; nil while nobody waits
	subs    map[*hubSubscription]struct{}
	failing time.Time // since when the reader cannot follow the log; zero while it can
	failure error     // why
}

// tailState says what is sure of the end of a Hub's tail; see [Hub].
type tailState int

const (
	unplaced   tailState = iota // the log was never reached
	unverified                  // it is the head of the log, whose tag is not read yet
	verified                    // it was read, with its tag if it is an event
)

func (o HubOptions) check() error {
	switch {
	case o.TailEvents < 0:
		return fmt.Errorf("cdc: HubOptions.TailEvents is %d: it must not be negative", o.TailEvents)
	case o.TailBytes < 0:
		return fmt.Errorf("cdc: HubOptions.TailBytes is %d: it must not be negative", o.TailBytes)
	}
	return nil
}

// NewHub returns a Hub on the log and starts its reader. It reaches the log as
// soon as the log can be reached, which is no error here. It ends when it is
// closed, or the log is ([ErrClosed]), or was deleted ([ErrDeleted]). The error says what is wrong with the options.
func NewHub(log Log, opts *HubOptions) (*Hub, error) {
	var o HubOptions
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.TailEvents == 0 {
		o.TailEvents = 8192
	}
	if o.TailBytes == 0 {
		o.TailBytes = 16 << 20
	}
	t := newTasks()
	h := &Hub{
		log: log, opts: o, tasks: t,
		reaching: newFlights[struct{}, struct{}](t),
		bounds:   newFlights[struct{}, Bounds](t),
		edge:     newFlights[edgeRead, Page](t),
		filtered: newFlights[filteredRead, Page](t),
		cold:     coldReads{log: log, tasks: t},
		subs:     map[*hubSubscription]struct{}{},
	}
	t.start(h.run)
	return h, nil
}

// Unwrap returns the log that the Hub stands on.
func (h *Hub) Unwrap() Log { return h.log }

// Close ends every subscription with [ErrClosed] and returns when the Hub's
// goroutines have ended. It does not close the log. It is idempotent.
func (h *Hub) Close() error {
	h.end(ErrClosed)
	h.tasks.group.Wait()
	return nil
}

// end stops the reader and wakes the followers, whose Next returns why.
func (h *Hub) end(why error) {
	h.tasks.stop(why)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failsLocked(h.tasks.why())
	h.wake()
}

// wake must be called with mu held.
func (h *Hub) wake() {
	h.changes++
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// changedLocked is the channel to wait on; mu is held.
func (h *Hub) changedLocked() <-chan struct{} {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

// Slowest returns the lowest position of the followers of this Hub that have
// begun; ok is false if there is none.
func (h *Hub) Slowest() (seq uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		if at := s.position.Load(); at != unknownPosition && (!ok || at < seq) {
			seq, ok = at, true
		}
	}
	return seq, ok
}
