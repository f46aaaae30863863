package cdc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// HubOptions of [NewHub]; nil means the defaults.
type HubOptions struct {
	// TailEvents and TailBytes ([Event.Size]) bound the newest part of the log
	// that is kept in memory. 0 means 8192 events and 16 MiB. A follower that
	// falls further behind reads the log.
	TailEvents int
	TailBytes  int

	// OnError is told every error of the log that the Hub recovers from: it
	// waits, subscribes again and reads what it missed. It is called by the
	// Hub's only reader and must not block. nil means nobody is told.
	OnError func(error)

	// Observer is told the followers' reads. nil means nobody is told.
	Observer Observer
}

// Hub makes many followers of one log cheap for one process: it has one
// subscription on the log and one reader, which keeps the newest events in a
// shared tail. Followers are positions in that tail. Those below it read the
// log, and the Hub makes one read of identical or neighbouring ones. It is a
// [Log] itself. Use [NewHub] and Close.
type Hub struct {
	log  Log
	opts HubOptions

	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	group  sync.WaitGroup // the reader and the shared reads
	reads  hubReads

	joining flights[struct{}, struct{}]
	bounds  flights[struct{}, Bounds]
	edge    flights[edgeRead, Page]
	cold    coldReads

	untagged bool // of who joins, and then of the reader: see tag

	mu      sync.Mutex
	tail    tail          // its epoch is empty until the log was reached for the first time
	joins   uint64        // how often followers had to read the source themselves
	resets  uint64        // how often the log was replaced
	reset   *ResetError   // of the last time
	changed chan struct{} // closed at the next change; nil while nobody waits
	subs    map[*hubSubscription]struct{}
}

// NewHub returns a Hub on the log and starts its reader. It reaches the log as
// soon as the log can be reached. It ends when it is closed, or the log is.
func NewHub(log Log, opts *HubOptions) *Hub {
	var o HubOptions
	if opts != nil {
		o = *opts
	}
	if o.TailEvents <= 0 {
		o.TailEvents = 8192
	}
	if o.TailBytes <= 0 {
		o.TailBytes = 16 << 20
	}
	h := &Hub{log: log, opts: o, subs: map[*hubSubscription]struct{}{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.group.Go(h.run)
	return h
}

// Unwrap returns the log that the Hub stands on.
func (h *Hub) Unwrap() Log { return h.log }

// Close ends every subscription with [ErrClosed] and returns when the Hub's
// goroutines have ended. It does not close the log. It is idempotent.
func (h *Hub) Close() error {
	h.end()
	h.group.Wait()
	return nil
}

// end begins the end: no goroutine starts after it.
func (h *Hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel()
	h.wake()
}

// spawn starts a goroutine that Close waits for, unless the Hub was closed.
func (h *Hub) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return false
	}
	h.group.Go(f)
	return true
}

// run is the reader: it keeps a session with the log until Close.
func (h *Hub) run() {
	var wait backoff
	for h.ctx.Err() == nil {
		err := h.session(&wait)
		if errors.Is(err, ErrClosed) {
			h.end() // the log will not come back
		}
		if h.ctx.Err() != nil {
			return
		}
		h.observeBreak(err)
		if h.opts.OnError != nil {
			h.opts.OnError(err)
		}
		wait.sleep(h.ctx)
	}
}

// session subscribes, reads what was missed and then what comes, until the
// subscription breaks. It does not return nil. A log that can be read but not
// subscribed to is read at each try: its followers are late, not left behind.
func (h *Hub) session(wait *backoff) error {
	if err := h.join(h.ctx); err != nil {
		return err
	}
	if err := h.catchUp(); err != nil {
		return err
	}
	sub, err := h.log.Subscribe(h.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }()
	if err := h.catchUp(); err != nil {
		return err
	}
	for {
		events, err := sub.Next(h.ctx)
		switch {
		case err == nil && len(events) > 0:
			err = h.extend(events)
		case err == nil || errors.Is(err, ErrLagged):
			err = h.catchUp()
		}
		if err != nil {
			return err
		}
		wait.reset()
	}
}

// join puts the tail at the head of the log when nobody has yet. The followers
// do not wait for the reader to do it, which may be kept from subscribing or be
// waiting after a failure: until it is done, no cold read can be shared.
func (h *Hub) join(ctx context.Context) error {
	_, err := h.joining.do(ctx, h, struct{}{}, func(context.Context) (none struct{}, err error) {
		if h.position().Epoch == "" {
			err = h.rejoin(nil)
		}
		return none, err
	})
	return err
}

// catchUp reads from the end of the tail to the end of the log. Reading from a
// cursor with its tag also finds a log that went back and grew again.
func (h *Hub) catchUp() error {
	if err := h.tag(); err != nil {
		return err
	}
	end := h.position()
	for {
		page, err := h.log.Read(h.ctx, end, 1024)
		if reset, ok := errors.AsType[*ResetError](err); ok {
			return h.rejoin(reset)
		}
		if err != nil {
			return err
		}
		if page.Next == end.Seq {
			return nil
		}
		if err := page.check(end.Seq); err != nil {
			return err
		}
		h.publish(page)
		end = h.position()
	}
}

// extend publishes events of the subscription that are above the tail. The
// others were read before, after a wake-up or a lag, unless the log went back
// and grew again under its subscription: then they are not those of the tail.
func (h *Hub) extend(events []Event) error {
	end := h.position()
	fresh := eventsAfter(events, end.Seq)
	if n := len(events) - len(fresh); n > 0 {
		switch same, known := h.remembers(events[n-1]); {
		case !known:
			return h.catchUp()
		case !same:
			return h.rejoin(&ResetError{Reason: ReasonDiverged, Requested: end.String()})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	page := Page{Events: fresh, Next: fresh[len(fresh)-1].Seq}
	if err := page.check(end.Seq); err != nil {
		return err
	}
	h.publish(page)
	return nil
}

// remembers compares an event with what the tail has at its seq; known is
// false where it holds nothing to compare with.
func (h *Hub) remembers(e Event) (same, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	base := h.tail.base
	if e.Seq < base.Seq || e.Seq == base.Seq && base.Tag == "" {
		return false, false
	}
	return h.tail.agrees(e.Cursor(base.Epoch)), true
}

// restart puts an empty tail at the head of the log: the first time, when the
// tail was overtaken by retention (followers read the log, which knows), or
// when the log is another one. Then followers get the reset, and it is returned
// to end the session: its subscription may still hold events of the old log.
func (h *Hub) restart(reset *ResetError) error {
	b, err := h.log.Bounds(h.ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	replaced := reset != nil && (reset.Reason != ReasonTruncated || b.Epoch != h.tail.end.Epoch)
	if replaced {
		r := *reset
		r.Floor, r.Head, r.Resume = b.Floor, b.Head, Cursor{Epoch: b.Epoch, Seq: b.Head}
		if b.Epoch != h.tail.end.Epoch {
			r.Reason = ReasonEpochChanged
		}
		h.resets++
		h.reset = &r
	}
	h.cold.forget()
	h.tail.reset(Cursor{Epoch: b.Epoch, Seq: b.Head})
	h.joins++
	h.wake()
	h.untagged = true
	if replaced {
		return h.reset
	}
	return nil
}

func (h *Hub) rejoin(reset *ResetError) error {
	if err := h.restart(reset); err != nil {
		return err
	}
	return h.tag()
}

// tag adds the tag to an end of the tail that restart took from the bounds:
// without it, a log that went back and grew again is not noticed. One that did
// since has its new tag here: followers who came between may have events that it
// lost, and are made to look; pages that were kept are forgotten.
func (h *Hub) tag() error {
	end := h.position()
	if !h.untagged || end.Tag != "" {
		return nil
	}
	end, err := tagged(end, Bounds{}, func(before Cursor) (Page, error) { return h.log.Read(h.ctx, before, 1) })
	if err != nil {
		return err
	}
	h.untagged = false
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cold.forget()
	if len(h.tail.chunks) == 0 {
		h.tail.reset(end)
	}
	h.joins++
	h.wake()
	return nil
}

func (h *Hub) position() Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tail.end
}

func (h *Hub) publish(page Page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail.push(page, h.opts.TailEvents, h.opts.TailBytes)
	h.wake()
}

// wake must be called with mu held.
func (h *Hub) wake() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Slowest returns the lowest position of the followers of this Hub, as far as
// they have told; ok is false if there is none.
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

// backoff waits longer after each failure: 50 ms doubled up to 5 s, and of
// that a random half to the whole, so that many do not come back at once.
type backoff struct{ failures int }

func (b *backoff) reset() { b.failures = 0 }

func (b *backoff) sleep(ctx context.Context) {
	full := min(5*time.Second, 50*time.Millisecond<<min(b.failures, 10))
	b.failures++
	timer := time.NewTimer(full/2 + rand.N(full/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
