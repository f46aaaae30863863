package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// trim trims, or skips the case if the log cannot.
func (t *test) trim(log handle, seq uint64) int {
	n, err := t.h.trim(t.Ctx, log.Log, seq)
	t.Trace("Trim %d → %d removed %s", seq, n, trial.ErrText(err))
	if err != nil {
		t.StoreFailed("Trim", err)
	}
	t.wasTrimmed(log, seq)
	return n
}

// wasTrimmed fails the case if there is an event at or below seq that a trim
// should have removed.
func (t *test) wasTrimmed(log handle, seq uint64) {
	b := t.Bounds(log)
	if b.Floor >= min(seq, b.Head) {
		return
	}
	page := t.Read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1)
	if len(page.Events) > 0 && page.Events[0].Seq <= seq {
		t.DidNothing("Trim", fmt.Sprintf("after a trim to %d the floor is %d, and event %d is there", seq, b.Floor, page.Events[0].Seq))
	}
}

func truncated(t *test) {
	log := t.open()
	seqs := t.Fill(log, 12)
	epoch := t.Bounds(log).Epoch
	all := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	for _, trim := range []int{0, 3, 4, 9} { // index of the last event that goes
		t.trim(log, seqs[trim])
		if floor := t.Bounds(log).Floor; floor != seqs[trim] {
			t.Fail(verify.Resumable, "after a trim to %d the floor is %d", seqs[trim], floor)
		}
		for i := range len(all) + 1 {
			c := cdc.Cursor{Epoch: epoch}
			if i > 0 {
				c = all[i-1].Cursor(epoch)
			}
			t.afterTrim(log, c, trial.SeqsOf(all[i:]), c.Seq < seqs[trim])
			c.Tag = ""
			t.afterTrim(log, c, trial.SeqsOf(all[i:]), c.Seq < seqs[trim])
		}
	}
	t.isReset(t.Follow("from below the floor", log, cdc.After(all[0].Cursor(epoch)), trial.Quiet()).AwaitEnd(), log, "a stream from below the floor", cdc.ReasonTruncated)
}

// afterTrim reads the log from the cursor: what must not come is a shorter
// stream.
func (t *test) afterTrim(log cdc.Log, c cdc.Cursor, want []uint64, below bool) {
	page, err := t.TryRead(log, c, 100)
	switch reset, ok := errors.AsType[*cdc.ResetError](err); {
	case ok && below:
		t.isReset(reset, log, fmt.Sprintf("reading after %s, below the floor", trial.CursorText(c)), cdc.ReasonTruncated)
	case err != nil:
		t.Fail(verify.Resumable, "reading after %s, at or above the floor, is an error: %v", trial.CursorText(c), err)
	default:
		got := trial.SeqsOf(page.Events)
		if !slices.Equal(got, want[:min(len(got), len(want))]) || len(got) == 0 && len(want) > 0 {
			t.Fail(verify.Resumable, "reading after %s: expected %v or a reset, seen %v", trial.CursorText(c), want, got)
		}
	}
}

func trimExact(t *test) {
	log := t.open()
	seqs := t.Fill(log, 10)
	epoch := t.Bounds(log).Epoch
	removed := 0
	for _, upTo := range []int{1, 4, 4, 2, 7} { // how many of the oldest
		n := t.trim(log, seqs[upTo-1])
		want := max(0, upTo-removed)
		removed = max(removed, upTo)
		t.Want(n == want, "Trim to event %d says that it removed %d, want %d", upTo, n, want)
		b := t.Bounds(log)
		t.Want(b.Floor == seqs[removed-1] && b.Head == seqs[9], "after Trim to %d bounds are %+v", seqs[upTo-1], b)
		got := trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: b.Floor}, 100))
		t.Want(slices.Equal(got, seqs[removed:]), "after Trim to %d the log holds %v, want %v", seqs[upTo-1], got, seqs[removed:])
	}
	t.trim(log, seqs[9]+1000)
	b := t.Bounds(log)
	t.Want(b.Floor == b.Head && b.Head == seqs[9], "a Trim above the head went past it: %+v", b)
}

func trimAll(t *test) {
	log := t.open()
	seqs := t.Fill(log, 5)
	before := t.Bounds(log)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	t.trim(log, seqs[4])
	b := t.Bounds(log)
	t.Want(b.Head >= before.Head && b.Last >= before.Last && b.Floor == seqs[4], "bounds went from %+v to %+v when everything was trimmed", before, b)
	for _, c := range []cdc.Cursor{{Epoch: b.Epoch, Seq: seqs[4]}, s.First()} {
		if page, err := t.TryRead(log, c, 10); err != nil || len(page.Events) > 0 || page.Next != c.Seq {
			t.Fail(verify.Resumable, "the head of an empty log, read after %s: %s", trial.CursorText(c), trial.PageText(page, err))
		}
	}
	again := t.Follow("from the head of an empty log", log, cdc.After(s.First()), trial.Quiet())
	t.Fence(log, s, again)
}

func beginningAfterTrim(t *test) {
	log := t.open()
	seqs := t.Fill(log, 9)
	for _, n := range []int{0, 3, 8} {
		t.trim(log, seqs[n])
		s := t.Follow("from the beginning", log, cdc.Beginning(), trial.Quiet())
		s.AwaitLive()
		t.Want(slices.Equal(trial.SeqsOf(s.Events()), seqs[n+1:]), "the beginning of a log trimmed to %d gave %v, want %v", seqs[n], trial.SeqsOf(s.Events()), seqs[n+1:])
		_ = s.Stop()
	}
	p, tapped := t.tapped(log)
	t.Fill(log, 4)
	upTo := t.Bounds(log).Head - 1
	p.Before(3, func() { _, _ = t.h.trim(t.Ctx, log.Log, upTo) })
	s := t.Follow("from a beginning that moves", tapped, cdc.Beginning(), trial.Quiet())
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream turns live or ends")
	t.wasTrimmed(log, upTo)
	if !s.Ended() {
		t.Fence(log, s)
		return
	}
	// A cache may have begun it before the trim, which then overtakes it.
	t.isReset(s.AwaitEnd(), log, "a beginning that moves", cdc.ReasonTruncated)
	t.Want(len(s.Events()) > 0, "a stream from a beginning that moves was reset before it had delivered anything")
}

func trimWhileReading(t *test) {
	for range 5 {
		log := t.open()
		seqs := t.FillFast(log, 60)
		epoch := t.Bounds(log).Epoch
		s := t.History.Stream("reading while another trims")
		s.Begin(cdc.Cursor{Epoch: epoch})
		trimmed := t.Go(func() {
			for _, seq := range seqs[:50] {
				time.Sleep(2 * time.Microsecond)
				if _, err := t.h.trim(t.Ctx, log.Log, seq); err != nil {
					t.NoteStoreFailed("Trim", err)
					return
				}
			}
		})
		for pos := (cdc.Cursor{Epoch: epoch}); pos.Seq < lastOf(seqs); {
			trial.Breathe()
			page, err := t.TryRead(log, pos, 1)
			if _, reset := errors.AsType[*cdc.ResetError](err); reset {
				break
			}
			if err != nil {
				t.StoreFailed("Read", err)
			}
			for _, e := range page.Events {
				s.Add(e.Seq, verify.RecordOf(e))
			}
			pos.Seq = page.Next
			s.Add(pos.Seq)
		}
		t.Wait(verify.Bounded, trimmed, "Trim beside a reader")
		if !t.Failed() {
			t.wasTrimmed(log, seqs[49])
		}
	}
}

func trimUnderStream(t *test) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		seqs := t.Fill(log, 8)
		p, tapped := t.tapped(log)
		return t.trimAt(k[0], log, p, tapped, seqs)
	})
}

func trimUnderHub(t *test) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		seqs := t.Fill(log, 8)
		hub := t.h.hub(log.Log)
		defer func() { _ = hub.Close() }()
		p, tapped := t.tapped(hub)
		return t.trimAt(k[0], log, p, tapped, seqs)
	})
}

func (t *test) trimAt(k int, log handle, p *trial.Tap, tapped cdc.Log, seqs []uint64) bool {
	t.Trace("-- a trim to %d before call %d", seqs[5], k)
	var trimmed atomic.Bool // the call may be under way when the stream is judged
	p.Before(k, func() {
		_, err := t.h.trim(t.Ctx, log.Log, seqs[5])
		if err != nil {
			t.NoteStoreFailed("Trim", err)
		}
		trimmed.Store(err == nil)
	})
	s := t.Follow(fmt.Sprintf("trim before call %d", k), tapped, cdc.After(cdc.Cursor{Seq: seqs[0]}), trial.Quiet())
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream turns live or ends")
	if !s.Ended() {
		t.Fence(log, s)
	} else {
		t.isReset(s.AwaitEnd(), log, fmt.Sprintf("a trim before call %d", k), cdc.ReasonTruncated)
	}
	made := p.Fired()
	_ = s.Stop()
	if trimmed.Load() {
		t.wasTrimmed(log, seqs[5])
	}
	return made
}
