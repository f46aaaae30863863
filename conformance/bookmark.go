package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func bookmarkCases() []Case {
	g := verify.Bookmark
	return []Case{
		{Guarantee: g, Situation: "FilteredMoves", Sentence: "events that the filter leaves out move the cursor, in replay and live", run: filteredMoves},
		{Guarantee: g, Situation: "EveryCheckpoint", Sentence: "resuming a filtered stream from any of its cursors gives exactly the matching events that follow", run: everyCheckpoint},
		{Guarantee: g, Situation: "NotAhead", Sentence: "no cursor is ahead of what was delivered with it", run: notAhead},
		{Guarantee: g, Situation: "HeartbeatLive", Sentence: "a stream with nothing to deliver yields its cursor once per heartbeat", run: heartbeatLive},
		{Guarantee: g, Situation: "HeartbeatReplaying", Sentence: "the same while a read of the source takes long", run: heartbeatReplaying},
		{Guarantee: g, Situation: "LiveOnce", Sentence: "Live is announced when everything before is delivered, by a batch of its own, once", run: liveAnnounced},
	}
}

func filteredMoves(t *test) {
	log := t.open()
	t.Fill(log, 7)
	o := trial.Quiet()
	o.Filter = cdc.Filter{Types: []string{"none is of this type"}}
	s := t.Follow("a filter that matches nothing", log, cdc.Beginning(), o)
	s.AwaitLive()
	s.AwaitCursor(t.Bounds(log).Head)
	for range 5 {
		s.AwaitCursor(t.Append(log, t.Event()).Seqs[0])
	}
	t.Want(len(s.Events()) == 0, "the filter matches nothing and %s were delivered", trial.EventsText(s.Events()))
}

func everyCheckpoint(t *test) {
	log := t.open()
	t.Fill(log, 20)
	filter := cdc.Filter{Types: []string{"type1", "type2"}, Topics: []string{"topic0", "topic1"}}
	o := func(page int) *cdc.FollowOptions {
		return &cdc.FollowOptions{Filter: filter, PageSize: page, Heartbeat: time.Hour}
	}
	s := t.Follow("filtered", log, cdc.Beginning(), o(3))
	s.AwaitLive()
	s.AwaitCursor(t.Bounds(log).Head)
	s.AwaitCursor(lastOf(t.Fill(log, 10)))
	head := t.Bounds(log).Head
	want := filter.Select(t.ReadAll(log, cdc.Cursor{Epoch: s.First().Epoch}, 100))
	t.Want(slices.Equal(trial.SeqsOf(s.Events()), trial.SeqsOf(want)), "the filter selects %v, delivered were %v", trial.SeqsOf(want), trial.SeqsOf(s.Events()))
	for _, c := range s.Progress().Cursors {
		r := t.Follow("resumed with the filter", log, cdc.After(c), o(2))
		r.AwaitCursor(head)
		rest := trial.SeqsOf(want[trial.FirstAbove(want, c.Seq):])
		t.Want(slices.Equal(trial.SeqsOf(r.Events()), rest), "resumed from the cursor %s, %v were delivered, want %v", trial.CursorText(c), trial.SeqsOf(r.Events()), rest)
		_ = r.Stop()
	}
}

// notAhead cuts a stream at each of its batches: what the cursor says was
// delivered must have been.
func notAhead(t *test) {
	log := t.open()
	t.FillFast(log, 9)
	all := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)
	for _, f := range []cdc.Filter{{}, {Types: []string{"type1", "type3"}}} {
		var got []cdc.Event
		var cursor cdc.Cursor
		ctx, cancel := t.WithPatience()
		t.Trace("-- a stream with filter %+v", f)
		for batch, err := range t.h.follow(ctx, log.Log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2, Filter: f, Heartbeat: time.Hour}) {
			if err != nil {
				break
			}
			got = append(got, batch.Events...)
			cursor = batch.Cursor
			t.Trace("batch: %s, %s at %s", batch.State, trial.EventsText(batch.Events), trial.CursorText(cursor))
			t.Checked()
			for _, e := range f.Select(all) {
				if e.Seq <= cursor.Seq && !slices.Contains(trial.SeqsOf(got), e.Seq) {
					cancel()
					t.Fail(verify.Bookmark, "the cursor %d came when %d had not been delivered: a stream that is cut here loses it", cursor.Seq, e.Seq)
				}
			}
			if last := trial.LastSeq(got); cursor.Seq < last {
				cancel()
				t.Fail(verify.Bookmark, "the cursor %d came with event %d: a stream that is cut here repeats it", cursor.Seq, last)
			}
			if batch.State == cdc.Live && cursor.Seq >= trial.LastSeq(all) {
				break
			}
		}
		cancel()
	}
}

func heartbeatLive(t *test) {
	log := t.open()
	t.Fill(log, 3)
	s := t.Follow("idle", log, cdc.Latest(), &cdc.FollowOptions{Heartbeat: 2 * time.Millisecond})
	s.AwaitLive()
	for range 3 {
		n := s.Progress().Batches
		s.Await(verify.Bookmark, func(p trial.Progress) bool { return p.Batches >= n+3 }, "three heartbeats of 2 ms")
		t.Fence(log, s)
	}
	cursors := s.Progress().Cursors
	for i, c := range cursors {
		if i > 0 && c.Seq < cursors[i-1].Seq {
			t.Fail(verify.Bookmark, "a heartbeat took the cursor back from %d to %d", cursors[i-1].Seq, c.Seq)
		}
	}
}

func heartbeatReplaying(t *test) {
	log := t.open()
	t.Fill(log, 8)
	slow := &slowReads{Log: log.Log, gate: make(chan struct{})}
	s := t.Follow("over a slow store", slow, cdc.After(cdc.Cursor{}), &cdc.FollowOptions{PageSize: 3, Heartbeat: 2 * time.Millisecond})
	s.AwaitFirst()
	s.Await(verify.Bookmark, func(p trial.Progress) bool { return p.Batches >= 4 }, "heartbeats of 2 ms while a read takes long")
	fourth := s.Progress().Cursors[3]
	t.Want(fourth.Seq == 0, "a heartbeat has the cursor %s though no page was read yet", trial.CursorText(fourth))
	close(slow.gate)
	t.Fence(log, s)
}

// slowReads is a log whose reads wait until the gate is open.
type slowReads struct {
	cdc.Log
	gate chan struct{}
}

func (l *slowReads) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	select {
	case <-l.gate:
		return l.Log.Read(ctx, after, limit)
	case <-ctx.Done():
		return cdc.Page{}, context.Cause(ctx)
	}
}

func liveAnnounced(t *test) {
	log := t.open()
	t.Fill(log, 7)
	p, tapped := t.tapped(log)
	s := t.Follow("states", tapped, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	t.Want(len(s.Events()) == 7, "the stream was live after %d of 7 events", len(s.Events()))
	t.Fence(log, s)
	t.Want(s.Progress().Lives == 1, "Live was announced %d times in one turn", s.Progress().Lives)
	t.Eventually(verify.Live, p.Waiting, "the reader waits in Next")
	p.ForceLag()
	t.Append(log, t.Event())
	t.Wait(verify.Live, p.Forced(), "the Next that a commit has to end")
	t.Fence(log, s)
	s.Await(verify.Bookmark, func(p trial.Progress) bool { return p.State == cdc.Live }, "the stream is live again after a lag")
	t.Record(log)
}
