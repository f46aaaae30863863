package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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
		{Guarantee: g, Situation: "DivergedHole", Sentence: "a cursor at a hole is valid, and an error if it has a tag: there never was an event", needs: []need{needBegin}, run: divergedHole},
		{Guarantee: g, Situation: "Diverged", Sentence: "a cursor whose tag is not that of the event at its seq is an error", run: divergedTag},
		{Guarantee: g, Situation: "Rewound", Sentence: "a log that went back and grew again is noticed although epoch and seq look right", needs: rewind, run: rewound},
		{Guarantee: g, Situation: "RewoundWhileFollowed/live", Sentence: "a log goes back under a stream that has delivered what it loses, and grows to below, to and above where the stream is: a reset, and nothing of the new history before it", needs: rewind, run: rewoundWhileFollowed(nil, []int{1}, []int{3}, []int{1, 1, 1}, []int{5}, []int{1, 1, 1, 1, 1})},
		{Guarantee: g, Situation: "RewoundWhileFollowed/lag", Sentence: "the same while the stream's subscription lags, so that it ends where it was before", needs: rewind, run: rewoundWhileFollowed((*trial.Tap).ForceLag, []int{3}, []int{5})},
		{Guarantee: g, Situation: "RewoundWhileFollowed/break", Sentence: "the same while the stream's subscription breaks, as it does at a failover", needs: rewind, run: rewoundWhileFollowed(forceBreak, []int{3}, []int{5})},
		{Guarantee: g, Situation: "RewoundWhileSlow", Sentence: "a log goes back to where a slow stream is: it goes on exactly, or delivers what was on the way to it and is reset", needs: rewind, run: rewoundWhileSlow},
		{Guarantee: g, Situation: "RewoundUnderStream", Sentence: "a log goes back and grows again before the k-th call of a stream, for every k: the stream delivers the new history, or a part of one and a reset", needs: rewind, run: rewoundUnderStream},
		{Guarantee: g, Situation: "RewoundUnderHub", Sentence: "the same before the k-th call of a Hub", needs: rewind, run: rewoundUnderHub},
		{Guarantee: g, Situation: "TooFar", Sentence: "a start further below the head than MaxReplay is a reset with reason too-far", run: tooFar},
		{Guarantee: g, Situation: "Truncated", Sentence: "after a trim every cursor below the floor is an error or serves exactly what follows it, every other one works", run: truncated},
		{Guarantee: g, Situation: "TrimExact", Sentence: "Trim removes what is at or below its seq and nothing else, and says how many", run: trimExact},
		{Guarantee: g, Situation: "TrimNothing", Sentence: "a trim to 0, or to what is trimmed already, removes nothing, lowers no floor and is no error", run: trimNothing},
		{Guarantee: g, Situation: "TrimFar", Sentence: "a trim to the highest number there is empties the log up to its head, one inside a hole removes what is below the hole", run: trimFar},
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

func resumeEverywhere(t *test) {
	log := t.open()
	t.FillFast(log, 11)
	s := t.Follow("first", log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 3})
	s.AwaitLive()
	t.Fence(log, s)
	events, cursors, epoch := s.Events(), s.Progress().Cursors, s.First().Epoch
	_ = s.Stop()
	for _, e := range events {
		cursors = append(cursors, e.Cursor(epoch), cdc.Cursor{Epoch: epoch, Seq: e.Seq})
	}
	for _, c := range cursors {
		r := t.Follow("resumed", log, cdc.After(c), &cdc.FollowOptions{PageSize: 4})
		if from := r.AwaitFirst(); from.Seq != c.Seq {
			t.Fail(verify.Resumable, "a stream from %s began at %s", trial.CursorText(c), trial.CursorText(from))
		}
		t.Fence(log, r)
		_ = r.Stop()
	}
	t.Record(log)
}

func zeroIsBeforeAll(t *test) {
	log := t.open()
	t.Fill(log, 3)
	epoch := t.Bounds(log).Epoch
	for _, start := range []cdc.Start{cdc.After(cdc.Cursor{Epoch: epoch}), cdc.After(cdc.Cursor{}), cdc.Beginning()} {
		s := t.Follow("from 0", log, start, trial.Quiet())
		s.AwaitLive()
		t.Want(len(s.Events()) == 3, "a stream from %s was live after %s: the log has 3 events", start, trial.EventsText(s.Events()))
		_ = s.Stop()
	}
}

func bareNumber(t *test) {
	log := t.open()
	seqs := t.Fill(log, 4)
	s := t.Follow("from a number", log, cdc.After(cdc.Cursor{Seq: seqs[1]}), trial.Quiet())
	from := s.AwaitFirst()
	t.Want(from.Epoch == t.Bounds(log).Epoch && from.Seq == seqs[1], "the number %d was resolved to %s", seqs[1], from)
	t.Fence(log, s)
}

func malformed(t *test) {
	log := t.open()
	t.Fill(log, 2)
	for _, text := range []string{"x", "..", "-1", "1.2.3.4", "00", "e.18446744073709551616"} {
		err := t.Follow("from nonsense", log, cdc.AfterText(text), trial.Quiet()).AwaitEnd()
		t.isReset(err, log, fmt.Sprintf("a start of %q", text), cdc.ReasonMalformed)
	}
}

// isReset checks that the error is the reset for one of the reasons, with the
// log's floor and head.
func (t *test) isReset(err error, log cdc.Source, what string, reasons ...cdc.Reason) {
	_ = t.resetOf(false, err, log, what, reasons...)
}

// resetOf is isReset, and returns the reset. The log may have grown since the
// stream ended: then the head that it names may be lower.
func (t *test) resetOf(grown bool, err error, log cdc.Source, what string, reasons ...cdc.Reason) *cdc.ResetError {
	t.Checked()
	reset, ok := errors.AsType[*cdc.ResetError](err)
	if !ok {
		t.Fail(verify.Resumable, "%s: got the error %v, want a *ResetError with reason %v", what, err, reasons)
	}
	b := t.Bounds(log)
	switch {
	case !slices.Contains(reasons, reset.Reason):
		t.Fail(verify.Resumable, "%s: the reset has reason %q, want %q", what, reset.Reason, reasons)
	case reset.Floor != b.Floor || reset.Head > b.Head || !grown && reset.Head < b.Head:
		t.Fail(verify.Resumable, "%s: the reset names floor %d and head %d, the log has %d and %d", what, reset.Floor, reset.Head, b.Floor, b.Head)
	case reset.Resume.Epoch != b.Epoch || reset.Resume.Seq != reset.Head && reset.Resume.Seq != reset.Floor:
		t.Fail(verify.Resumable, "%s: the reset resumes at %s, which is neither floor nor head of the log", what, reset.Resume)
	}
	return reset
}

func future(t *test) {
	log := t.open()
	for n := range 3 {
		b := t.Bounds(log)
		for _, above := range []uint64{1, 2, 1000, 1 << 40} {
			c := cdc.Cursor{Epoch: b.Epoch, Seq: b.Last + above}
			_, err := t.TryRead(log, c, 10)
			t.isReset(err, log, fmt.Sprintf("reading %d above the last event", above), cdc.ReasonFuture)
			t.isReset(t.Follow("from the future", log, cdc.After(c), trial.Quiet()).AwaitEnd(), log, fmt.Sprintf("a stream from %d above the last event", above), cdc.ReasonFuture)
		}
		if _, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Last}, 10); err != nil {
			t.Fail(verify.Resumable, "reading after the last event is an error: %v", err)
		}
		t.Fill(log, n+1)
	}
}

func foreign(t *test) {
	log := t.open()
	seqs := t.Fill(log, 3)
	for _, seq := range append(seqs, 0, 1000) {
		c := cdc.Cursor{Epoch: "another-epoch", Seq: seq}
		_, err := t.TryRead(log, c, 10)
		t.isReset(err, log, "reading with another epoch", cdc.ReasonForeign)
		t.isReset(t.Follow("with another epoch", log, cdc.After(c), trial.Quiet()).AwaitEnd(), log, "a stream with another epoch", cdc.ReasonForeign)
	}
	epoch := t.Bounds(log).Epoch
	for _, alike := range []string{strings.ToUpper(epoch), strings.ToLower(epoch), epoch[:len(epoch)-1], epoch[1:], epoch + "0", "0" + epoch} {
		if alike != epoch && cdc.ValidEpoch(alike) {
			_, err := t.TryRead(log, cdc.Cursor{Epoch: alike, Seq: seqs[0]}, 10)
			t.isReset(err, log, fmt.Sprintf("reading with the epoch %q of a log whose epoch is %q", alike, epoch), cdc.ReasonForeign)
		}
	}
	t.Want(t.Bounds(t.open()).Epoch != epoch, "two logs have the epoch %s: each takes the cursors of the other for its own (draw it with cdc.NewEpoch)", epoch)
}

func divergedTag(t *test) {
	log := t.open()
	t.Fill(log, 5)
	epoch := t.Bounds(log).Epoch
	events := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	for i, e := range events {
		c := cdc.Cursor{Epoch: epoch, Seq: e.Seq, Tag: events[(i+1)%len(events)].Tag()}
		_, err := t.TryRead(log, c, 10)
		t.isReset(err, log, fmt.Sprintf("reading after %d with the tag of another event", e.Seq), cdc.ReasonDiverged)
		for at := range c.Tag { // one that is nearly its own
			near, other := e.Cursor(epoch), "A"
			if near.Tag[at] == 'A' {
				other = "B"
			}
			near.Tag = near.Tag[:at] + other + near.Tag[at+1:]
			_, err := t.TryRead(log, near, 10)
			t.isReset(err, log, fmt.Sprintf("reading after %d with a tag that differs from its own at %d", e.Seq, at), cdc.ReasonDiverged)
		}
		t.isReset(t.Follow("with a wrong tag", log, cdc.After(c), trial.Quiet()).AwaitEnd(), log, "a stream with the tag of another event", cdc.ReasonDiverged)
		if _, err := t.TryRead(log, e.Cursor(epoch), 10); err != nil {
			t.Fail(verify.Resumable, "reading after %d with its own tag is an error: %v", e.Seq, err)
		}
	}
}

// divergedHole has a hole where another log may have had an event.
func divergedHole(t *test) {
	log := t.open()
	t.Fill(log, 2)
	tx := t.Begin(log)
	tx.Append(2)
	tx.Rollback()
	t.Fill(log, 2)
	b := t.Bounds(log)
	events := t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch}, 100)
	for seq := b.Floor + 1; seq <= b.Head; seq++ {
		if slices.Contains(trial.SeqsOf(events), seq) {
			continue
		}
		_, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seq, Tag: events[0].Tag()}, 10)
		t.isReset(err, log, fmt.Sprintf("reading after %d, a hole, with the tag of an event", seq), cdc.ReasonDiverged)
		if _, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seq}, 10); err != nil {
			t.Fail(verify.Resumable, "reading after %d, a hole, without a tag, is an error: %v", seq, err)
		}
	}
}

func tooFar(t *test) {
	log := t.open()
	seqs := t.Fill(log, 8)
	epoch := t.Bounds(log).Epoch
	head := t.Bounds(log).Head
	for _, seq := range append([]uint64{0}, seqs...) {
		o := trial.Quiet()
		o.MaxReplay = 3
		s := t.Follow("with a cap of 3", log, cdc.After(cdc.Cursor{Epoch: epoch, Seq: seq}), o)
		if head-seq > 3 {
			t.isReset(s.AwaitEnd(), log, fmt.Sprintf("a start %d below the head with a cap of 3", head-seq), cdc.ReasonTooFar)
			continue
		}
		s.AwaitLive()
		_ = s.Stop()
	}
}

func betweenHeadAndLast(t *test) {
	log := t.open()
	t.Fill(log, 3)
	tx := t.Begin(log)
	tx.Append(2)
	var beside cdc.Receipt
	if t.h.Writers > 1 {
		beside = t.Append(log, t.Event())
	}
	b := t.Bounds(log)
	if seq := lastOf(beside.Seqs); b.Last < seq {
		t.Fail(verify.Resumable, "event %d was acknowledged while an older transaction is open, and Last is %d: whoever follows from the receipt is told that it is of the future", seq, b.Last)
	}
	_, err := t.TryRead(log, cdc.Cursor{Epoch: "another-epoch", Seq: b.Head}, 10)
	t.isReset(err, log, "reading with another epoch beside an open transaction", cdc.ReasonForeign)
	var waiting []*trial.Stream
	for seq := b.Head; seq <= b.Last; seq++ {
		page, err := t.TryRead(log, cdc.Cursor{Epoch: b.Epoch, Seq: seq}, 10)
		if err != nil || len(page.Events) > 0 {
			t.Fail(verify.Resumable, "reading after %d, between head %d and last %d: %s", seq, b.Head, b.Last, trial.PageText(page, err))
		}
		s := t.Follow(fmt.Sprintf("after %d", seq), log, cdc.After(cdc.Cursor{Epoch: b.Epoch, Seq: seq}), trial.Quiet())
		s.AwaitLive()
		waiting = append(waiting, s)
	}
	tx.Commit()
	t.Fence(log, waiting...)
	t.Record(log)
}

func secondHandleAccepts(t *test) {
	a := t.open()
	b := t.second(a)
	hub := t.h.hub(b.Log)
	defer func() { _ = hub.Close() }()
	s := t.Follow("on the first handle", a, cdc.Beginning(), nil)
	for range 12 {
		seq := t.Append(a, t.Event()).Seqs[0]
		s.AwaitEvent(seq)
		c := cdc.Cursor{Epoch: s.First().Epoch, Seq: seq}
		for name, other := range map[string]cdc.Log{"the second handle": b, "a Hub on the second handle": hub} {
			if _, err := t.TryRead(other, c, 10); err != nil {
				t.Fail(verify.Resumable, "a cursor that the first handle delivered is refused by %s: %v", name, err)
			}
			r := t.Follow("over "+name, other, cdc.After(c), trial.Quiet())
			r.AwaitLive()
			_ = r.Stop()
		}
	}
	t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}
