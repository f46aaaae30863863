package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func rewound(t *test) {
	log := t.open()
	t.Fill(log, 6)
	epoch := t.Bounds(log).Epoch
	before := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	if err := t.h.Rewind(t.Ctx, log.at, log.Log, before[2].Seq); err != nil {
		t.StoreFailed("Rewind", err)
	}
	t.Trace("-- the log goes back to %d", before[2].Seq)
	if b := t.Bounds(log); b.Epoch == epoch && b.Head > before[2].Seq {
		t.DidNothing("Rewind", fmt.Sprintf("the log was to go back to %d, and its head is %d", before[2].Seq, b.Head))
	}
	t.History = &verify.History{} // the seqs are used again
	t.Fill(log, 5)
	c := before[4].Cursor(epoch)
	now := t.Bounds(log).Epoch
	// A Hub may serve what it holds of the time before until it has looked.
	t.Eventually(verify.Resumable, func() bool {
		_, err := t.TryRead(log, c, 10)
		return err != nil
	}, "a Read after an event that was lost is refused")
	err := t.Follow("from an event that was lost", log, cdc.After(c), trial.Quiet()).AwaitEnd()
	want := cdc.ReasonDiverged
	if now != epoch {
		want = cdc.ReasonForeign // the store shows a rewind, and the log took a new epoch
	}
	t.isReset(err, log, "a cursor of an event that the log lost", want)
	if now == epoch {
		t.keptByRewind(log, before[1].Cursor(epoch))
	}
}

// keptByRewind follows from an event that the log still has. A Hub that looks
// only then resets every stream, once.
func (t *test) keptByRewind(log handle, c cdc.Cursor) {
	s := t.Follow("from an event that was kept", log, cdc.After(c), trial.Quiet())
	if _, over := log.Log.(interface{ Unwrap() cdc.Log }); over {
		marker := lastOf(t.Fill(log, 1))
		s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= marker }, "the stream ends or delivers %d", marker)
		if !s.Ended() {
			return
		}
		_ = t.resetOf(true, s.AwaitEnd(), log, "a stream that was open when a Hub noticed", cdc.ReasonDiverged)
		t.History = &verify.History{} // it may have been given what the Hub held of the time before
		s = t.Follow("from an event that was kept, again", log, cdc.After(c), trial.Quiet())
	}
	t.Fence(log, s)
}

// kept is how many events both histories have.
const kept = 3

// histories are the two of a log that goes back and grows again, as by a
// failover to a replica that lagged. They use the same seqs, so the judge, who
// knows of one, is not asked: the case compares events with what was appended.
type histories struct {
	t    *test
	log  handle
	turn chan struct{} // of who writes: no store has to stand an append beside a rewind

	// Guarded by turn.
	now []entry // what the log holds
	old []entry // what it held before it went back

	tried atomic.Bool // the rewind was tried
	dull  atomic.Bool // it did nothing
	back  atomic.Bool // it was done, and the log has grown again
}

// entry is one event of a history.
type entry struct {
	seq uint64
	id  string
}

func entriesOf(events []cdc.Event) []entry {
	entries := make([]entry, len(events))
	for i, e := range events {
		entries[i] = entry{e.Seq, e.ID}
	}
	return entries
}

// histories makes a log of n events.
func (t *test) histories(n int) *histories {
	t.JudgesItself()
	h := &histories{t: t, log: t.open(), turn: make(chan struct{}, 1)}
	for range n {
		e := t.Event()
		h.now = append(h.now, entry{t.Append(h.log, e).Seqs[0], e.ID})
	}
	return h
}

// append makes an append of each size and returns the last seq. It ends the
// case if it fails.
func (h *histories) append(sizes ...int) (last uint64) {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	if err := h.write(sizes); err != nil {
		h.t.StoreFailed("Append", err)
	}
	return h.now[len(h.now)-1].seq
}

func (h *histories) write(sizes []int) error {
	for _, size := range sizes {
		events := h.t.Events(size)
		r, err := h.t.TryAppend(h.log, events...)
		if err != nil {
			return err
		}
		for i := range min(size, len(r.Seqs)) {
			h.now = append(h.now, entry{r.Seqs[i], events[i].ID})
		}
	}
	return nil
}

// goBack takes the log back, and lets it grow again by an append of each size.
// It may be called from any goroutine; see happened.
func (h *histories) goBack(sizes ...int) {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	defer h.tried.Store(true)
	t, to := h.t, h.now[kept-1].seq
	before, err := h.log.Bounds(t.Ctx)
	if err == nil {
		err = t.h.Rewind(t.Ctx, h.log.at, h.log.Log, to)
	}
	t.Trace("-- the log goes back to %d %s", to, trial.ErrText(err))
	after, boundsErr := h.log.Bounds(t.Ctx)
	if err = errors.Join(err, boundsErr); err != nil {
		t.NoteStoreFailed("Rewind", err)
		return
	}
	h.dull.Store(after.Epoch == before.Epoch && after.Head > to)
	h.old = slices.Clone(h.now)
	h.now = h.now[:kept:kept]
	if err := h.write(sizes); err != nil {
		t.NoteAppendFailed(err)
		return
	}
	h.back.Store(true)
}

// happened waits until goBack has been called, and ends the case unless the
// log went back.
func (h *histories) happened() {
	h.t.Eventually(verify.Contained, h.tried.Load, "Harness.Rewind and the appends after it return")
	if h.dull.Load() {
		h.t.DidNothing("Rewind", "the head is still above the seq that the log was to go back to")
	}
	if !h.back.Load() {
		h.t.End()
	}
}

// rewoundReasons are all that the reset of a log that went back can have: some
// stores show it, and the log takes a new epoch.
var rewoundReasons = []cdc.Reason{cdc.ReasonDiverged, cdc.ReasonFuture, cdc.ReasonEpochChanged, cdc.ReasonForeign}

// rewoundWhileFollowed lets the log go back under a stream that has delivered
// everything, and grow to below, to and above where the stream is. disturb is
// done to the stream's subscription.
func rewoundWhileFollowed(disturb func(*trial.Tap), growths ...[]int) func(*test) {
	return func(t *test) {
		for _, growth := range growths {
			for _, start := range []cdc.Start{cdc.Beginning(), cdc.Latest()} {
				t.rewoundUnder(start, growth, disturb)
			}
		}
	}
}

func (t *test) rewoundUnder(start cdc.Start, growth []int, disturb func(*trial.Tap)) {
	h := t.histories(4)
	p, tapped := t.tapped(h.log)
	s := t.Follow(fmt.Sprintf("rewound under, then appends of %v", growth), tapped, start, trial.Quiet())
	s.AwaitLive()
	s.AwaitEvent(h.append(1, 1)) // some were read, some came live
	had, head := len(s.Events()), t.Bounds(h.log).Head
	if disturb != nil {
		disturb(p)
	}
	h.goBack(growth...)
	h.happened()
	if t.Bounds(h.log).Head == head { // whoever looks only now sees no difference
		if disturb != nil {
			trial.Within(t.Settings.Patience/10, func() bool { return p.WasForced() || s.Ended() })
		}
		h.append(1)
	}
	s.Await(verify.Resumable, func(p trial.Progress) bool { return p.Err != nil || len(p.Events) > had }, "a stream that delivered what the log has lost is reset")
	if events := s.Events(); len(events) > had {
		t.Fail(verify.Resumable, "the log went back from %d to %d and grew again: a stream that had delivered all went on with %s", head, h.now[kept-1].seq, trial.EventsText(events[had:]))
	}
	reset := t.resetOf(true, s.AwaitEnd(), h.log, "a stream that delivered what the log has lost", rewoundReasons...)
	h.goesOn(tapped, reset)
}

// rewoundWhileSlow lets the log go back to where a slow stream is: what the
// log lost is in buffers on the way to it, if anywhere.
func rewoundWhileSlow(t *test) {
	for _, growth := range [][]int{{1}, {3}, {5}, {1, 1, 1, 1, 1}} {
		h := t.histories(2)
		s := t.Follow(fmt.Sprintf("slow, then appends of %v", growth), h.log, cdc.Beginning(), trial.Quiet())
		s.AwaitLive()
		resume := s.Hold()
		s.AwaitEvent(h.append(1))
		h.append(2, 1)
		h.goBack(growth...)
		resume()
		h.happened()
		h.append(1)
		h.exact(s, h.log)
	}
}

func rewoundUnderStream(t *test) {
	t.everyCall(func(k ...int) bool {
		h := t.histories(6)
		p, tapped := t.tapped(h.log)
		return h.backAt(k[0], p, tapped)
	})
}

func rewoundUnderHub(t *test) {
	t.everyCall(func(k ...int) bool {
		h := t.histories(6)
		p, tapped := t.tapped(h.log)
		hub := t.h.hub(tapped)
		defer func() { _ = hub.Close() }()
		return h.backAt(k[0], p, hub)
	})
}

// backAt lets the log go back and grow before the k-th call, which may come
// while the stream replays, while it is live and after it was woken.
func (h *histories) backAt(k int, p *trial.Tap, over cdc.Log) (made bool) {
	t := h.t
	t.Trace("-- the log goes back before call %d", k)
	p.Before(k, func() { h.goBack(2, 1, 2) })
	s := t.Follow(fmt.Sprintf("rewound before call %d", k), over, cdc.Beginning(), trial.Quiet())
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream turns live or ends")
	if marker := h.append(1); !s.Ended() {
		s.Await(verify.Resumable, func(p trial.Progress) bool {
			return p.Err != nil || h.tried.Load() || trial.LastSeq(p.Events) >= marker
		}, "the stream ends or delivers %d", marker)
	}
	if !p.Fired() {
		p.Clear()
		_ = s.Stop()
		return false
	}
	h.happened()
	h.append(1)
	h.exact(s, over)
	return true
}

// exact checks a stream from the beginning: it delivers all of the log as it
// is now, or has delivered a part of one history and is reset.
func (h *histories) exact(s *trial.Stream, over cdc.Log) {
	t, last := h.t, h.now[len(h.now)-1]
	s.Await(verify.Resumable, func(p trial.Progress) bool {
		return p.Err != nil || slices.Contains(entriesOf(p.Events), last)
	}, "the stream ends or delivers %s", entriesText([]entry{last}))
	ended, got := s.Ended(), entriesOf(s.Events())
	if !ended {
		t.Want(slices.Equal(got, h.now), "the log went back to %d and grew again: a stream went on without a reset and delivered %s; the log has %s", h.now[kept-1].seq, entriesText(got), entriesText(h.now))
		_ = s.Stop()
		return
	}
	reset := t.resetOf(true, s.AwaitEnd(), h.log, "a stream while the log went back", rewoundReasons...)
	t.Want(isPrefix(got, h.old) || isPrefix(got, h.now), "the log went back to %d and grew again: a stream delivered %s before its reset; the log had %s and has %s", h.now[kept-1].seq, entriesText(got), entriesText(h.old), entriesText(h.now))
	h.goesOn(over, reset)
}

func isPrefix(part, whole []entry) bool {
	return len(part) <= len(whole) && slices.Equal(part, whole[:len(part)])
}

// entriesText names events by seq and ID: the same seq stands for two.
func entriesText(entries []entry) string {
	texts := make([]string, len(entries))
	for i, e := range entries {
		texts[i] = fmt.Sprintf("%d(%s)", e.seq, e.id)
	}
	return fmt.Sprint(texts)
}

// goesOn follows from where the reset says. A Hub that hears of the rewind
// only then resets every stream that is open, once.
func (h *histories) goesOn(over cdc.Log, reset *cdc.ResetError) {
	t := h.t
	for range 3 {
		s := t.Follow("after the reset", over, cdc.After(reset.Resume), trial.Quiet())
		marker := h.append(1)
		s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= marker }, "the stream ends or delivers %d", marker)
		if !s.Ended() {
			_ = s.Stop()
			return
		}
		reset = t.resetOf(true, s.AwaitEnd(), h.log, "a stream from where a reset said", rewoundReasons...)
	}
	t.Fail(verify.Resumable, "a stream from where the reset said was reset again and again")
}
