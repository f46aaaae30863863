package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func resumableCases() []Case {
	g := verify.Resumable
	rewind := []need{needRewind}
	return []Case{
		{Guarantee: g, Situation: "EveryCursor", Sentence: "a stream resumed from the cursor of each event and of each batch delivers exactly what follows", run: resumeEverywhere},
		{Guarantee: g, Situation: "Zero", Sentence: "seq 0 is before the first event, not now", run: zeroIsBeforeAll},
		{Guarantee: g, Situation: "BareNumber", Sentence: "a number without an epoch is bound to the current one", run: bareNumber},
		{Guarantee: g, Situation: "Malformed", Sentence: "a text that is no cursor is a reset with reason malformed", run: malformed},
		{Guarantee: g, Situation: "Future", Sentence: "a cursor above everything drawn is an error, the last one drawn is none", run: future},
		{Guarantee: g, Situation: "Foreign", Sentence: "a cursor of another epoch is an error", run: foreign},
		{Guarantee: g, Situation: "Diverged", Sentence: "a cursor whose tag is not that of the event at its seq is an error", run: divergedTag},
		{Guarantee: g, Situation: "Rewound", Sentence: "a log that went back and grew again is noticed although epoch and seq look right", needs: rewind, run: rewound},
		{Guarantee: g, Situation: "RewoundWhileFollowed/live", Sentence: "a log goes back under a stream that has delivered what it loses, and grows to below, to and above where the stream is: a reset, and nothing of the new history before it", needs: rewind, run: rewoundWhileFollowed(nil, []int{1}, []int{3}, []int{1, 1, 1}, []int{5}, []int{1, 1, 1, 1, 1})},
		{Guarantee: g, Situation: "RewoundWhileFollowed/lag", Sentence: "the same while the stream's subscription lags, so that it ends where it was before", needs: rewind, run: rewoundWhileFollowed((*tap).forceLag, []int{3}, []int{5})},
		{Guarantee: g, Situation: "RewoundWhileFollowed/break", Sentence: "the same while the stream's subscription breaks, as it does at a failover", needs: rewind, run: rewoundWhileFollowed(forceBreak, []int{3}, []int{5})},
		{Guarantee: g, Situation: "RewoundWhileSlow", Sentence: "a log goes back to where a slow stream is: it goes on exactly, or delivers what was on the way to it and is reset", needs: rewind, run: rewoundWhileSlow},
		{Guarantee: g, Situation: "RewoundUnderStream", Sentence: "a log goes back and grows again before the k-th call of a stream, for every k: the stream delivers the new history, or a part of one and a reset", needs: rewind, run: rewoundUnderStream},
		{Guarantee: g, Situation: "RewoundUnderHub", Sentence: "the same before the k-th call of a Hub", needs: rewind, run: rewoundUnderHub},
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
	epoch := t.bounds(log).Epoch
	t.want(t.bounds(t.open()).Epoch != epoch, "two logs have the epoch %s: each takes the cursors of the other for its own (draw it with cdc.NewEpoch)", epoch)
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

func betweenHeadAndLast(t *trial) {
	log := t.open()
	t.fill(log, 3)
	tx := t.begin(log)
	tx.append(2)
	var beside cdc.Receipt
	if t.h.Writers > 1 {
		beside = t.append(log, t.event())
	}
	b := t.bounds(log)
	if seq := lastOf(beside.Seqs); b.Last < seq {
		t.fail(verify.Resumable, "event %d was acknowledged while an older transaction is open, and Last is %d: whoever follows from the receipt is told that it is of the future", seq, b.Last)
	}
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
