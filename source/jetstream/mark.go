package jetstreamlog

import (
	"context"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// mark is a message that this process knows to have been in its log. If another
// has its sequence later, the stream went back and has grown again.
type mark struct {
	epoch   string
	seq     uint64
	at      time.Time // whole microseconds, as events have them
	subject string    // instead of at, which an acknowledgement does not say
}

// marks are the last message that was looked at, and the last of an append since.
// A mark is replaced by a newer one only when it has been found in its place, but
// for that of an append: the next look checks the last of them.
type marks struct{ seen, acked mark }

func (h *handle) currentMarks() marks {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.marks
}

// advanceMark moves the mark to the end of a page whose first message is the
// cursor's own, with its tag. It reports whether that was at or behind the mark,
// so that it need not be looked for.
func (h *handle) advanceMark(after cdc.Cursor, events []cdc.Event) bool {
	if len(events) == 0 || after.Tag == "" || events[0].Seq != after.Seq || events[0].Tag() != after.Tag {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := &h.marks.seen
	if seen.epoch != after.Epoch || seen.seq > after.Seq {
		return false
	}
	last := &events[len(events)-1]
	*seen = mark{epoch: after.Epoch, seq: last.Seq, at: last.Time}
	return true
}

// wentBack reports whether the stream went back behind a mark, and moves the marks
// to its end otherwise. Only another message in its place is a proof.
func (h *handle) wentBack(ctx context.Context, known marks, b cdc.Bounds, end time.Time) (bool, error) {
	for _, m := range []mark{known.seen, known.acked} {
		switch {
		case m.epoch != b.Epoch, m.seq <= b.Floor:
			continue // of another log, or trimmed
		case m.seq > b.Last:
			return false, nil // a new leader may not have applied it yet
		case m.seq == b.Last && m.at.Equal(end):
			continue
		}
		if same, err := h.isStored(ctx, m); err != nil || !same {
			return err == nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.marks == known {
		h.marks = marks{seen: mark{epoch: b.Epoch, seq: b.Last, at: end}}
	}
	return false, nil
}

// isStored asks the stream's leader for the message. One that was removed since is
// no sign that the stream went back: it is below the floor, or a hole.
func (h *handle) isStored(ctx context.Context, m mark) (bool, error) {
	stored, found, err := h.stored(ctx, m.seq, "")
	switch {
	case err != nil || !found:
		return true, err
	case m.subject != "":
		return stored.Subject == m.subject, nil
	}
	return m.at.Equal(stored.Time.Truncate(time.Microsecond)), nil
}

// replaceEpoch gives a stream that went back another epoch than the lost one, and
// returns the bounds after that.
func (h *handle) replaceEpoch(ctx context.Context, lost string) (cdc.Bounds, error) {
	if err := h.setEpoch(ctx, lost, cdc.NewEpoch()); err != nil {
		return cdc.Bounds{}, err
	}
	return h.current(ctx, cdc.Cursor{}, false)
}

// setEpoch changes the epoch if it is the expected one; "" means whichever it is.
// One call of a process does so at a time. Two processes that find a stream that
// went back within a round trip change it twice, since the server updates without
// a condition: that costs a reader a second reset.
func (h *handle) setEpoch(ctx context.Context, expected, epoch string) error {
	select {
	case h.updating <- struct{}{}:
		defer func() { <-h.updating }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	info, err := h.info(ctx)
	if err != nil {
		return err
	}
	if now, err := h.epochOf(info); expected != "" && (err != nil || now != expected) {
		return err
	}
	_, err = h.js.UpdateStream(ctx, withEpoch(info.Config, epoch))
	return err
}
