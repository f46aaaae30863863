package conformance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func resumableCases() []Case {
	g := verify.Resumable
	return []Case{
		{Guarantee: g, Situation: "EveryCursor", Sentence: "a stream resumed from the cursor of each event and of each batch delivers exactly what follows", run: resumeEverywhere},
		{Guarantee: g, Situation: "Zero", Sentence: "seq 0 is before the first event, not now", run: zeroIsBeforeAll},
		{Guarantee: g, Situation: "BareNumber", Sentence: "a number without an epoch is bound to the current one", run: bareNumber},
		{Guarantee: g, Situation: "Malformed", Sentence: "a text that is no cursor is a reset with reason malformed", run: malformed},
		{Guarantee: g, Situation: "Future", Sentence: "a cursor above everything drawn is an error, the last one drawn is none", run: future},
		{Guarantee: g, Situation: "Foreign", Sentence: "a cursor of another epoch is an error", run: foreign},
		{Guarantee: g, Situation: "Diverged", Sentence: "a cursor whose tag is not that of the event at its seq is an error", run: divergedTag},
		{Guarantee: g, Situation: "Rewound", Sentence: "a log that went back and grew again is noticed although epoch and seq look right", needs: []need{needRewind}, run: rewound},
		{Guarantee: g, Situation: "TooFar", Sentence: "a start further below the head than MaxReplay is a reset with reason too-far", run: tooFar},
		{Guarantee: g, Situation: "Truncated", Sentence: "after a trim every cursor below the floor is an error or serves exactly what follows it, every other one works", run: truncated},
		{Guarantee: g, Situation: "TrimExact", Sentence: "Trim removes what is at or below its seq and nothing else, and says how many", run: trimExact},
		{Guarantee: g, Situation: "TrimAll", Sentence: "a log that was trimmed to nothing keeps floor, head and last, and serves its head", run: trimAll},
		{Guarantee: g, Situation: "BeginningAfterTrim", Sentence: "the beginning of a trimmed log is its oldest event, never a reset", run: beginningAfterTrim},
		{Guarantee: g, Situation: "TrimWhileReading", Sentence: "one reads page by page while another trims: what is read has no hole, or is a reset", run: trimWhileReading},
		{Guarantee: g, Situation: "TrimUnderStream", Sentence: "a trim before the k-th call of a stream, for every k: it delivers everything or ends with truncated", run: trimUnderStream},
		{Guarantee: g, Situation: "TrimUnderHub", Sentence: "the same through a Hub", run: trimUnderHub},
		{Guarantee: g, Situation: "EpochUnderStream", Sentence: "a new epoch before the k-th call of a stream, for every k: it is a reset, never a stream that goes on", run: epochUnderStream},
		{Guarantee: g, Situation: "EpochUnderHub", Sentence: "the same before the k-th call of a Hub", run: epochUnderHub},
		{Guarantee: g, Situation: "EpochBetweenReads", Sentence: "a new epoch between Bounds and Read, or between two Reads, makes reading foreign, in finite time also through a cache", run: epochBetweenReads},
		{Guarantee: g, Situation: "EpochEndsSubscription", Sentence: "a new epoch wakes or ends every subscription, and old cursors are foreign at once", run: epochEndsSubscription},
		{Guarantee: g, Situation: "BetweenHeadAndLast", Sentence: "a cursor between head and last is valid and waits", needs: []need{needBegin}, run: betweenHeadAndLast},
		{Guarantee: g, Situation: "SecondHandle", Sentence: "a cursor that one handle delivered is accepted at once by another, and by a Hub that has not read that far", needs: []need{needSecond}, run: secondHandleAccepts},
	}
}

func resumeEverywhere(t *trial) {
	log := t.open()
	t.bulk(log, 11)
	s := t.follow("first", log, cdc.Beginning, &cdc.FollowOptions{PageSize: 3})
	s.live()
	t.fence(log, s)
	events, cursors, epoch := s.got(), s.positions(), s.first.Epoch
	_ = s.stop()
	for _, e := range events {
		cursors = append(cursors, e.Cursor(epoch), cdc.Cursor{Epoch: epoch, Seq: e.Seq})
	}
	for _, c := range cursors {
		r := t.follow("resumed", log, cdc.After(c), &cdc.FollowOptions{PageSize: 4})
		if from := r.begun(); from.Seq != c.Seq {
			t.fail(verify.Resumable, "a stream from %s began at %s", shortCursor(c), shortCursor(from))
		}
		t.fence(log, r)
		_ = r.stop()
	}
	t.record(log)
}

func zeroIsBeforeAll(t *trial) {
	log := t.open()
	t.fill(log, 3)
	epoch := t.bounds(log).Epoch
	for _, start := range []cdc.Start{cdc.After(cdc.Cursor{Epoch: epoch}), cdc.After(cdc.Cursor{}), cdc.Beginning} {
		s := t.follow("from 0", log, start, quiet())
		s.live()
		t.want(len(s.got()) == 3, "a stream from %s was live after %s: the log has 3 events", start, eventsText(s.got()))
		_ = s.stop()
	}
}

func bareNumber(t *trial) {
	log := t.open()
	seqs := t.fill(log, 4)
	s := t.follow("from a number", log, cdc.After(cdc.Cursor{Seq: seqs[1]}), quiet())
	from := s.begun()
	t.want(from.Epoch == t.bounds(log).Epoch && from.Seq == seqs[1], "the number %d was resolved to %s", seqs[1], from)
	t.fence(log, s)
}

func malformed(t *trial) {
	log := t.open()
	t.fill(log, 2)
	for _, text := range []cdc.Start{"x", "..", "-1", "1.2.3.4", "00", "e.18446744073709551616"} {
		err := t.follow("from nonsense", log, text, quiet()).ends()
		t.isReset(err, log, fmt.Sprintf("a start of %q", text), cdc.ReasonMalformed)
	}
}

// isReset checks that the error is the reset for one of the reasons, with the
// log's floor and head.
func (t *trial) isReset(err error, log cdc.Source, what string, reasons ...cdc.Reason) {
	_ = t.resetOf(false, err, log, what, reasons...)
}

// resetOf is isReset, and returns the reset. The log may have grown since the
// stream ended: then the head that it names may be lower.
func (t *trial) resetOf(grown bool, err error, log cdc.Source, what string, reasons ...cdc.Reason) *cdc.ResetError {
	t.looked()
	reset, ok := errors.AsType[*cdc.ResetError](err)
	if !ok {
		t.fail(verify.Resumable, "%s: got the error %v, want a *ResetError with reason %v", what, err, reasons)
	}
	b := t.bounds(log)
	switch {
	case !slices.Contains(reasons, reset.Reason):
		t.fail(verify.Resumable, "%s: the reset has reason %q, want %q", what, reset.Reason, reasons)
	case reset.Floor != b.Floor || reset.Head > b.Head || !grown && reset.Head < b.Head:
		t.fail(verify.Resumable, "%s: the reset names floor %d and head %d, the log has %d and %d", what, reset.Floor, reset.Head, b.Floor, b.Head)
	case reset.Resume.Epoch != b.Epoch || reset.Resume.Seq != reset.Head && reset.Resume.Seq != reset.Floor:
		t.fail(verify.Resumable, "%s: the reset resumes at %s, which is neither floor nor head of the log", what, reset.Resume)
	}
	return reset
}

func future(t *trial) {
	log := t.open()
	for n := range 3 {
		b := t.bounds(log)
		for _, above := range []uint64{1, 2, 1000, 1 << 40} {
			c := cdc.Cursor{Epoch: b.Epoch, Seq: b.Last + above}
			_, err := t.tryRead(log, c, 10)
			t.isReset(err, log, fmt.Sprintf("reading %d above the last event", above), cdc.ReasonFuture)
			t.isReset(t.follow("from the future", log, cdc.After(c), quiet()).ends(), log, fmt.Sprintf("a stream from %d above the last event", above), cdc.ReasonFuture)
		}
		if _, err := t.tryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Last}, 10); err != nil {
			t.fail(verify.Resumable, "reading after the last event is an error: %v", err)
		}
		t.fill(log, n+1)
	}
}

func foreign(t *trial) {
	log := t.open()
	seqs := t.fill(log, 3)
	for _, seq := range append(seqs, 0, 1000) {
		c := cdc.Cursor{Epoch: "another-epoch", Seq: seq}
		_, err := t.tryRead(log, c, 10)
		t.isReset(err, log, "reading with another epoch", cdc.ReasonForeign)
		t.isReset(t.follow("with another epoch", log, cdc.After(c), quiet()).ends(), log, "a stream with another epoch", cdc.ReasonForeign)
	}
}

func divergedTag(t *trial) {
	log := t.open()
	t.fill(log, 5)
	epoch := t.bounds(log).Epoch
	events := t.all(log, cdc.Cursor{Epoch: epoch}, 100)
	for i, e := range events {
		c := cdc.Cursor{Epoch: epoch, Seq: e.Seq, Tag: events[(i+1)%len(events)].Tag()}
		_, err := t.tryRead(log, c, 10)
		t.isReset(err, log, fmt.Sprintf("reading after %d with the tag of another event", e.Seq), cdc.ReasonDiverged)
		t.isReset(t.follow("with a wrong tag", log, cdc.After(c), quiet()).ends(), log, "a stream with the tag of another event", cdc.ReasonDiverged)
		if _, err := t.tryRead(log, e.Cursor(epoch), 10); err != nil {
			t.fail(verify.Resumable, "reading after %d with its own tag is an error: %v", e.Seq, err)
		}
	}
}

func rewound(t *trial) {
	log := t.open()
	t.fill(log, 6)
	epoch := t.bounds(log).Epoch
	before := t.all(log, cdc.Cursor{Epoch: epoch}, 100)
	if err := t.h.Rewind(t.ctx, log.at, log.Log, before[2].Seq); err != nil {
		t.broken("Rewind", err)
	}
	t.trace.add("-- the log goes back to %d", before[2].Seq)
	t.history = &verify.History{} // the seqs are used again
	t.fill(log, 5)
	c := before[4].Cursor(epoch)
	now := t.bounds(log).Epoch
	err := t.follow("from an event that was lost", log, cdc.After(c), quiet()).ends()
	want := cdc.ReasonDiverged
	if now != epoch {
		want = cdc.ReasonForeign // the store shows a rewind, and the log took a new epoch
	}
	t.isReset(err, log, "a cursor of an event that the log lost", want)
	if now == epoch {
		s := t.follow("from an event that was kept", log, cdc.After(before[1].Cursor(epoch)), quiet())
		t.fence(log, s)
	}
}

func tooFar(t *trial) {
	log := t.open()
	seqs := t.fill(log, 8)
	epoch := t.bounds(log).Epoch
	head := t.bounds(log).Head
	for _, seq := range append([]uint64{0}, seqs...) {
		o := quiet()
		o.MaxReplay = 3
		s := t.follow("with a cap of 3", log, cdc.After(cdc.Cursor{Epoch: epoch, Seq: seq}), o)
		if head-seq > 3 {
			t.isReset(s.ends(), log, fmt.Sprintf("a start %d below the head with a cap of 3", head-seq), cdc.ReasonTooFar)
			continue
		}
		s.live()
		_ = s.stop()
	}
}

// trim trims, or skips the case if the log cannot.
func (t *trial) trim(log handle, seq uint64) int {
	n, err := t.h.trim(t.ctx, log.Log, seq)
	t.trace.add("Trim %d → %d removed %s", seq, n, errText(err))
	if err != nil {
		t.broken("Trim", err)
	}
	return n
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
	p.at(3, func() { _, _ = t.h.trim(t.ctx, log.Log, t.bounds(log).Head-1) })
	t.fence(log, t.follow("from a beginning that moves", tapped, cdc.Beginning, quiet()))
}

func trimWhileReading(t *trial) {
	for range 5 {
		log := t.open()
		seqs := t.bulk(log, 60)
		epoch := t.bounds(log).Epoch
		s := t.history.Stream("reading while another trims")
		s.Begin(cdc.Cursor{Epoch: epoch})
		trimmed := make(chan struct{})
		go func() {
			defer close(trimmed)
			for _, seq := range seqs[:50] {
				time.Sleep(2 * time.Microsecond)
				if _, err := t.h.trim(t.ctx, log.Log, seq); err != nil {
					t.trimFailed(err)
					return
				}
			}
		}()
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
	p.at(k, func() {
		if _, err := t.h.trim(t.ctx, log.Log, seqs[5]); err != nil {
			t.trimFailed(err)
		}
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
	return made
}

func (t *trial) trimFailed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, errors.ErrUnsupported) {
		t.skip = "the log cannot trim"
		return
	}
	t.faults = append(t.faults, fmt.Errorf("the harness could not trim: %w", err))
}

func epochUnderStream(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.fill(log, 5)
		p, tapped := t.tapped(log)
		return t.epochAt(k[0], log, p, tapped)
	})
}

func epochUnderHub(t *trial) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.fill(log, 5)
		p, tapped := t.tapped(log)
		hub := t.h.hub(tapped)
		defer func() { _ = hub.Close() }()
		return t.epochAt(k[0], log, p, hub)
	})
}

func (t *trial) epochAt(k int, log handle, p *tap, over cdc.Log) bool {
	old := t.bounds(log).Epoch
	t.trace.add("-- a new epoch before call %d", k)
	p.at(k, func() {
		err := t.h.renew(t.ctx, log.Log)
		t.trace.add("Renew %s", errText(err))
		if err != nil {
			t.trimFailed(err)
		}
	})
	s := t.follow(fmt.Sprintf("new epoch before call %d", k), over, cdc.Beginning, quiet())
	s.await(verify.Live, func() bool { return s.err != nil || s.lives > 0 }, "the stream turns live or ends")
	if !s.ended() {
		marker := t.append(log, t.event())
		s.await(verify.Resumable, func() bool { return s.err != nil || lastSeq(s.events) >= marker.Seqs[0] }, "the stream ends or delivers %d", marker.Seqs[0])
		if !s.ended() && s.first.Epoch != marker.Epoch {
			t.fail(verify.Resumable, "a stream that began in epoch %s delivered an event of epoch %s and no reset", s.first.Epoch, marker.Epoch)
		}
	}
	made := p.fired()
	if s.ended() && t.bounds(log).Epoch != old {
		reset := t.resetOf(true, s.ends(), log, fmt.Sprintf("a new epoch before call %d", k), cdc.ReasonEpochChanged, cdc.ReasonForeign)
		t.fence(log, t.follow("after the reset", over, cdc.After(reset.Resume), quiet()))
	}
	_ = s.stop()
	return made
}

func epochBetweenReads(t *trial) {
	log := t.open()
	t.fill(log, 6)
	for reads := range 3 {
		pos := cdc.Cursor{Epoch: t.bounds(log).Epoch}
		for range reads {
			pos.Seq = t.read(log, pos, 2).Next
		}
		if err := t.h.renew(t.ctx, log.Log); err != nil {
			t.broken("Renew", err)
		}
		// A Hub may serve what it holds of the old epoch until it hears of the
		// new one; nobody asks for bounds meanwhile.
		var err error
		t.soon(verify.Resumable, func() bool {
			_, err = t.tryRead(log, pos, 2)
			return err != nil
		}, "a Read with the old epoch after Bounds and %d reads is refused", reads)
		t.isReset(err, log, fmt.Sprintf("a Read with the old epoch after Bounds and %d reads", reads), cdc.ReasonForeign)
	}
}

func epochEndsSubscription(t *trial) {
	log := t.open()
	t.fill(log, 3)
	s := t.follow("open", log, cdc.Latest, quiet())
	s.live()
	old := s.first
	if err := t.h.renew(t.ctx, log.Log); err != nil {
		t.broken("Renew", err)
	}
	t.isReset(s.ends(), log, "a new epoch under a live stream", cdc.ReasonEpochChanged)
	_, err := t.tryRead(log, old, 10)
	t.isReset(err, log, "reading with the cursor of the old epoch", cdc.ReasonForeign)
	t.want(t.bounds(log).Epoch != old.Epoch, "Renew left the epoch at %s", old.Epoch)
}

func betweenHeadAndLast(t *trial) {
	log := t.open()
	t.fill(log, 3)
	tx := t.begin(log)
	tx.append(2)
	b := t.bounds(log)
	var waiting []*stream
	for seq := b.Head; seq <= b.Last; seq++ {
		page, err := t.tryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seq}, 10)
		if err != nil || len(page.Events) > 0 {
			t.fail(verify.Resumable, "reading after %d, between head %d and last %d: %s", seq, b.Head, b.Last, pageText(page, err))
		}
		s := t.follow(fmt.Sprintf("after %d", seq), log, cdc.After(cdc.Cursor{Epoch: b.Epoch, Seq: seq}), quiet())
		s.live()
		waiting = append(waiting, s)
	}
	tx.commit()
	t.fence(log, waiting...)
	t.record(log)
}

func secondHandleAccepts(t *trial) {
	a := t.open()
	b := t.second(a)
	hub := t.h.hub(b.Log)
	defer func() { _ = hub.Close() }()
	s := t.follow("on the first handle", a, cdc.Beginning, nil)
	for range 12 {
		seq := t.append(a, t.event()).Seqs[0]
		s.until(seq)
		c := cdc.Cursor{Epoch: s.first.Epoch, Seq: seq}
		for name, other := range map[string]cdc.Log{"the second handle": b, "a Hub on the second handle": hub} {
			if _, err := t.tryRead(other, c, 10); err != nil {
				t.fail(verify.Resumable, "a cursor that the first handle delivered is refused by %s: %v", name, err)
			}
			r := t.follow("over "+name, other, cdc.After(c), quiet())
			r.live()
			_ = r.stop()
		}
	}
	t.finite(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}
