package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// everyType matches every event that a trial makes, so that the log filters.
var everyType = cdc.Filter{Types: []string{"type0", "type1", "type2", "type3"}}

// eventFails makes one event after the other unreadable: reading has to end
// there with an error.
func eventFails(t *test) {
	log := t.open()
	t.Fill(log, 5)
	epoch := t.Bounds(log).Epoch
	all := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	failed := 0
	for _, bad := range all {
		mend, err := t.h.BreakEvent(t.Ctx, log.at, log.Log, bad.Seq)
		if err != nil {
			t.StoreFailed("BreakEvent", err)
		}
		t.Trace("-- event %d cannot be read", bad.Seq)
		for _, f := range []cdc.Filter{{}, everyType} {
			for _, limit := range []int{1, 2, 3, 100} {
				if t.readToFailure(log, f, limit, all, bad.Seq) {
					failed++
				}
			}
		}
		t.atUnreadable(log, bad, epoch)
		s := t.Follow(fmt.Sprintf("event %d cannot be read", bad.Seq), log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2})
		s.Await(verify.Reliable, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream ends or turns live")
		t.Want(s.Ended() || len(s.Events()) == len(all), "event %d could not be read, and a stream was live after %s", bad.Seq, trial.EventsText(s.Events()))
		_ = s.Stop()
		mend()
		t.SameSeqs(verify.Reliable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 2)), trial.SeqsOf(all), "read when event %d could be read again", bad.Seq)
	}
	if failed == 0 && !t.h.overHub { // a Hub has them in memory
		t.DidNothing("BreakEvent", "every event was read")
	}
}

// atUnreadable reads after the event that cannot be read: whether it is the one
// that the cursor names can be known from elsewhere, or not at all.
func (t *test) atUnreadable(log handle, bad cdc.Event, epoch string) {
	own, wrong := bad.Cursor(epoch), bad.Cursor(epoch)
	wrong.Tag = cdc.Event{Type: "another"}.Tag()
	_, err := t.TryRead(log, own, 10)
	_, reset := errors.AsType[*cdc.ResetError](err)
	t.Want(!reset, "event %d could not be read, and Read said of its own cursor that it cannot be resumed: %v", bad.Seq, err)
	_, err = t.TryRead(log, wrong, 10)
	t.Want(err != nil, "event %d could not be read, and a cursor at it with the tag of another was accepted", bad.Seq)
}

// readToFailure reads page by page from before all, and reports whether a read
// failed.
func (t *test) readToFailure(log handle, f cdc.Filter, limit int, all []cdc.Event, bad uint64) bool {
	pos := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	var got []cdc.Event
	for {
		page, err := cdc.ReadFiltered(t.Ctx, log.Log, pos, limit, f)
		t.Trace("Read after %s limit %d → %s", trial.CursorText(pos), limit, trial.PageText(page, err))
		t.Checked()
		if _, reset := errors.AsType[*cdc.ResetError](err); reset {
			t.Fail(verify.Reliable, "event %d could not be read, and Read said that the cursor cannot be resumed: %v", bad, err)
		}
		if err != nil {
			before := all[:min(len(got), len(all))]
			t.Want(slices.Equal(sumsOf(got), sumsOf(before)) && pos.Seq <= trial.LastSeq(got), "event %d could not be read: before the error, pages of %d gave %s up to Next %d", bad, limit, trial.EventsText(got), pos.Seq)
			return true
		}
		if page.Next == pos.Seq {
			t.Want(slices.Equal(sumsOf(got), sumsOf(all)), "event %d could not be read, and pages of %d gave %s, or other contents, and no error", bad, limit, trial.EventsText(got))
			return false
		}
		got = append(got, page.Events...)
		pos.Seq = page.Next
	}
}
