package cdc

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// run is the reader: it keeps a session with the log until Close.
func (h *Hub) run() {
	retry := backoff.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for !h.tasks.stopped() {
		err := h.session(&retry)
		if h.tasks.stopped() {
			return
		}
		if permanent(err) {
			h.end(err)
		}
		if _, reset := errors.AsType[*ResetError](err); !reset {
			h.fails(err)
		}
		h.report(err)
		_ = retry.Wait(h.tasks.ctx)
	}
}

// session subscribes, reads what was missed and then what comes, until the
// subscription breaks or the log is replaced. It does not return nil. A log
// that can be read but not subscribed to is read at each try: its followers are
// late, but get everything.
func (h *Hub) session(retry *backoff.Backoff) error {
	ctx := h.tasks.ctx
	if err := h.reach(ctx); err != nil {
		return err
	}
	sub, err := h.log.Subscribe(ctx)
	if err != nil {
		return cmp.Or(h.catchUp(ctx), err) // a reset says more
	}
	defer func() { _ = sub.Close() }()
	if err := h.catchUp(ctx); err != nil {
		return err
	}
	h.follows()
	for {
		events, err := sub.Next(ctx)
		switch {
		case err == nil && len(events) > 0:
			err = h.extend(ctx, events)
		case err == nil || errors.Is(err, ErrLagged):
			err = h.catchUp(ctx)
		}
		if err != nil {
			return err
		}
		retry.Reset()
	}
}

// reach places the tail when nobody has yet. The followers do not wait for the
// reader to do it, which may be waiting after a failure.
func (h *Hub) reach(ctx context.Context) error {
	_, err := h.reaching.do(ctx, struct{}{}, func(ctx context.Context) (none struct{}, err error) {
		if h.tailState() == unplaced {
			err = h.placeAndVerify(ctx, nil)
		}
		return none, err
	})
	return err
}

// catchUp reads from the end of the tail to the end of the log. Reading from a
// cursor with its tag also finds a log that went back and grew again.
func (h *Hub) catchUp(ctx context.Context) error {
	if err := h.verify(ctx); err != nil {
		return err
	}
	end := h.position()
	for {
		page, err := h.log.Read(ctx, end, 1024)
		if reset, ok := errors.AsType[*ResetError](err); ok {
			return h.placeAndVerify(ctx, reset)
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
func (h *Hub) extend(ctx context.Context, events []Event) error {
	end := h.position()
	above := eventsAfter(events, end.Seq)
	if n := len(events) - len(above); n > 0 {
		switch same, held := h.compare(events[n-1]); {
		case !held:
			return h.catchUp(ctx)
		case !same:
			return h.placeAndVerify(ctx, &ResetError{Reason: ReasonDiverged, Requested: end.String()})
		}
	}
	if len(above) == 0 {
		return nil
	}
	page := Page{Events: above, Next: above[len(above)-1].Seq}
	if err := page.check(end.Seq); err != nil {
		return err
	}
	h.publish(page)
	return nil
}

// compare compares an event with what the tail has at its seq; held is
// false where it holds nothing to compare with.
func (h *Hub) compare(e Event) (same, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	base := h.tail.base
	if e.Seq < base.Seq || e.Seq == base.Seq && base.Tag == "" {
		return false, false
	}
	return h.tail.agrees(e.Cursor(base.Epoch)), true
}

func (h *Hub) publish(page Page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail.push(page, h.opts.TailEvents, h.opts.TailBytes)
	h.wake()
}

func (h *Hub) placeAndVerify(ctx context.Context, cause *ResetError) error {
	if err := h.place(ctx, cause); err != nil {
		return err
	}
	return h.verify(ctx)
}

// place puts an empty tail at the head of the log; cause is why the log cannot
// be read from where the tail ended, nil the first time. If the log was
// replaced, followers get a reset, and it is returned to end the session, whose
// subscription may still hold events of the old log. If retention overtook the
// tail, followers read the log, which refuses those that were overtaken too.
func (h *Hub) place(ctx context.Context, cause *ResetError) error {
	b, err := h.log.Bounds(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	replaced := cause != nil && (cause.Reason != ReasonTruncated || b.Epoch != h.tail.end.Epoch)
	if replaced {
		reason := cause.Reason
		if b.Epoch != h.tail.end.Epoch {
			reason = ReasonEpochChanged
		}
		h.reset = b.Reset(reason, cause.Requested)
		h.resets++
	}
	h.state = unverified
	h.moveTail(Cursor{Epoch: b.Epoch, Seq: b.Head})
	if replaced {
		return h.reset
	}
	return nil
}

// verify gives the end of a tail that was placed by bounds the tag of its
// event. The log may have gone back and grown again since: followers who came
// between may have events that it lost, so all are made to look.
func (h *Hub) verify(ctx context.Context) error {
	if h.tailState() != unverified {
		return nil
	}
	end, err := tagged(h.position(), Bounds{}, func(before Cursor) (Page, error) { return h.log.Read(ctx, before, 1) })
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = verified
	h.moveTail(end)
	return nil
}

// moveTail empties the tail, forgets the pages below it and makes every
// follower read. It must be called with mu held.
func (h *Hub) moveTail(to Cursor) {
	h.cold.forget()
	h.tail.reset(to)
	h.moves++
	h.wake()
}

func (h *Hub) tailState() tailState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

func (h *Hub) position() Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tail.end
}
