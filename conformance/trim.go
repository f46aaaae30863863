package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// trim trims, or skips the case if the log cannot.
func (t *trial) trim(log handle, seq uint64) int {
	n, err := t.h.trim(t.ctx, log.Log, seq)
	t.trace.add("Trim %d → %d removed %s", seq, n, errText(err))
	if err != nil {
		t.broken("Trim", err)
	}
	t.wasTrimmed(log, seq)
	return n
}

// wasTrimmed fails the case if there is an event at or below seq that a trim
// should have removed.
func (t *trial) wasTrimmed(log handle, seq uint64) {
	b := t.bounds(log)
	if b.Floor >= min(seq, b.Head) {
		return
	}
	page := t.read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1)
	if len(page.Events) > 0 && page.Events[0].Seq <= seq {
		t.useless("Trim", fmt.Sprintf("after a trim to %d the floor is %d, and event %d is there", seq, b.Floor, page.Events[0].Seq))
	}
}

func truncated(t *trial) {
	log := t.open()
	seqs := t.fill(log, 12)
	epoch := t.bounds(log).Epoch
	all := t.all(log, cdc.Cursor{Epoch: epoch}, 100)
	for _, trim := range []int{0, 3, 4, 9} { // index of the last event that goes
		t.trim(log, seqs[trim])
		if floor := t.bounds(log).Floor; floor != seqs[trim] {
			t.fail(verify.Resumable, "after a trim to %d the floor is %d", seqs[trim], floor)
		}
		for i := range len(all) + 1 {
			c := cdc.Cursor{Epoch: epoch}
			if i > 0 {
				c = all[i-1].Cursor(epoch)
			}
			t.afterTrim(log, c, seqsOf(all[i:]), c.Seq < seqs[trim])
			c.Tag = ""
			t.afterTrim(log, c, seqsOf(all[i:]), c.Seq < seqs[trim])
		}
	}
	t.isReset(t.follow("from below the floor", log, cdc.After(all[0].Cursor(epoch)), quiet()).ends(), log, "a stream from below the floor", cdc.ReasonTruncated)
}

// afterTrim reads the log from the cursor: what must not come is a shorter
// stream.
func (t *trial) afterTrim(log cdc.Log, c cdc.Cursor, want []uint64, below bool) {
	page, err := t.tryRead(log, c, 100)
	switch reset, ok := errors.AsType[*cdc.ResetError](err); {
	case ok && below:
		t.isReset(reset, log, fmt.Sprintf("reading after %s, below the floor", shortCursor(c)), cdc.ReasonTruncated)
	case err != nil:
		t.fail(verify.Resumable, "reading after %s, at or above the floor, is an error: %v", shortCursor(c), err)
	default:
		got := seqsOf(page.Events)
		if !slices.Equal(got, want[:min(len(got), len(want))]) || len(got) == 0 && len(want) > 0 {
			t.fail(verify.Resumable, "reading after %s: expected %v or a reset, seen %v", shortCursor(c), want, got)
		}
	}
}

func trimExact(t *trial) {
	log := t.open()
	seqs := t.fill(log, 10)
	epoch := t.bounds(log).Epoch
	removed := 0
	for _, upTo := range []int{1, 4, 4, 2, 7} { // how many of the oldest
		n := t.trim(log, seqs[upTo-1])
		want := max(0, upTo-removed)
		removed = max(removed, upTo)
		t.want(n == want, "Trim to event %d says that it removed %d, want %d", upTo, n, want)
		b := t.bounds(log)
		t.want(b.Floor == seqs[removed-1] && b.Head == seqs[9], "after Trim to %d bounds are %+v", seqs[upTo-1], b)
		got := seqsOf(t.all(log, cdc.Cursor{Epoch: epoch, Seq: b.Floor}, 100))
		t.want(slices.Equal(got, seqs[removed:]), "after Trim to %d the log holds %v, want %v", seqs[upTo-1], got, seqs[removed:])
	}
	t.trim(log, seqs[9]+1000)
	b := t.bounds(log)
	t.want(b.Floor == b.Head && b.Head == seqs[9], "a Trim above the head went past it: %+v", b)
}

func trimAll(t *trial) {
	log := t.open()
	seqs := t.fill(log, 5)
	before := t.bounds(log)
	s := t.follow("live", log, cdc.Latest, quiet())
	s.live()
	t.trim(log, seqs[4])
	b := t.bounds(log)
	t.want(b.Head >= before.Head && b.Last >= before.Last && b.Floor == seqs[4], "bounds went from %+v to %+v when everything was trimmed", before, b)
	for _, c := range []cdc.Cursor{{Epoch: b.Epoch, Seq: seqs[4]}, s.first} {
		if page, err := t.tryRead(log, c, 10); err != nil || len(page.Events) > 0 || page.Next != c.Seq {
			t.fail(verify.Resumable, "the head of an empty log, read after %s: %s", shortCursor(c), pageText(page, err))
		}
	}
	again := t.follow("from the head of an empty log", log, cdc.After(s.first), quiet())
	t.fence(log, s, again)
}

func beginningAfterTrim(t *trial) {
	log := t.open()
	seqs := t.fill(log, 9)
	for _, n := range []int{0, 3, 8} {
		t.trim(log, seqs[n])
		s := t.follow("from the beginning", log, cdc.Beginning, quiet())
		s.live()
		t.want(slices.Equal(seqsOf(s.got()), seqs[n+1:]), "the beginning of a log trimmed to %d gave %v, want %v", seqs[n], seqsOf(s.got()), seqs[n+1:])
		_ = s.stop()
	}
	p, tapped := t.tapped(log)
	t.fill(log, 4)
	upTo := t.bounds(log).Head - 1
	p.at(3, func() { _, _ = t.h.trim(t.ctx, log.Log, upTo) })
	s := t.follow("from a beginning that moves", tapped, cdc.Beginning, quiet())
	s.await(verify.Live, func() bool { return s.err != nil || s.lives > 0 }, "the stream turns live or ends")
	t.wasTrimmed(log, upTo)
	if !s.ended() {
		t.fence(log, s)
		return
	}
	// A cache may have begun it before the trim, which then overtakes it.
	t.isReset(s.ends(), log, "a beginning that moves", cdc.ReasonTruncated)
	t.want(len(s.got()) > 0, "a stream from a beginning that moves was reset before it had delivered anything")
}

func trimWhileReading(t *trial) {
	for range 5 {
		log := t.open()
		seqs := t.bulk(log, 60)
		epoch := t.bounds(log).Epoch
		s := t.history.Stream("reading while another trims")
		s.Begin(cdc.Cursor{Epoch: epoch})
		trimmed := t.beside(func() {
			for _, seq := range seqs[:50] {
				time.Sleep(2 * time.Microsecond)
				if _, err := t.h.trim(t.ctx, log.Log, seq); err != nil {
					t.trimFailed(err)
					return
				}
			}
		})
		for pos := (cdc.Cursor{Epoch: epoch}); pos.Seq < lastOf(seqs); {
			breathe()
			page, err := t.tryRead(log, pos, 1)
			if _, reset := errors.AsType[*cdc.ResetError](err); reset {
				break
			}
			if err != nil {
				t.broken("Read", err)
			}
			for _, e := range page.Events {
				s.Add(e.Seq, verify.RecordOf(e))
			}
			pos.Seq = page.Next
			s.Add(pos.Seq)
		}
		t.wait(verify.Bounded, trimmed, "Trim beside a reader")
		if !t.failed() {
			t.wasTrimmed(log, seqs[49])
		}
	}
}

func trimUnderStream(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		seqs := t.fill(log, 8)
		p, tapped := t.tapped(log)
		return t.trimAt(k[0], log, p, tapped, seqs)
	})
}

func trimUnderHub(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		seqs := t.fill(log, 8)
		hub := t.h.hub(log.Log)
		defer func() { _ = hub.Close() }()
		p, tapped := t.tapped(hub)
		return t.trimAt(k[0], log, p, tapped, seqs)
	})
}

func (t *trial) trimAt(k int, log handle, p *tap, tapped cdc.Log, seqs []uint64) bool {
	t.trace.add("-- a trim to %d before call %d", seqs[5], k)
	var trimmed atomic.Bool // the call may be under way when the stream is judged
	p.at(k, func() {
		_, err := t.h.trim(t.ctx, log.Log, seqs[5])
		if err != nil {
			t.trimFailed(err)
		}
		trimmed.Store(err == nil)
	})
	s := t.follow(fmt.Sprintf("trim before call %d", k), tapped, cdc.After(cdc.Cursor{Seq: seqs[0]}), quiet())
	s.await(verify.Live, func() bool { return s.err != nil || s.lives > 0 }, "the stream turns live or ends")
	if !s.ended() {
		t.fence(log, s)
	} else {
		t.isReset(s.ends(), log, fmt.Sprintf("a trim before call %d", k), cdc.ReasonTruncated)
	}
	made := p.fired()
	_ = s.stop()
	if trimmed.Load() {
		t.wasTrimmed(log, seqs[5])
	}
	return made
}

func (t *trial) trimFailed(err error) { t.abilityFailed("Trim", err) }

// abilityFailed is broken for another goroutine than that of the case.
func (t *trial) abilityFailed(ability string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, errors.ErrUnsupported) {
		t.skip = fmt.Sprintf(lacksText, ability, err)
		return
	}
	t.faults = append(t.faults, fmt.Errorf("%s failed: %w", ability, err))
}
