package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
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

func filteredMoves(t *trial) {
	log := t.open()
	t.fill(log, 7)
	o := quiet()
	o.Filter = cdc.Filter{Types: []string{"none is of this type"}}
	s := t.follow("a filter that matches nothing", log, cdc.Beginning, o)
	s.live()
	s.reaches(t.bounds(log).Head)
	for range 5 {
		s.reaches(t.append(log, t.event()).Seqs[0])
	}
	t.want(len(s.got()) == 0, "the filter matches nothing and %s were delivered", eventsText(s.got()))
}

func everyCheckpoint(t *trial) {
	log := t.open()
	t.fill(log, 20)
	filter := cdc.Filter{Types: []string{"type1", "type2"}, Topics: []string{"topic0", "topic1"}}
	o := func(page int) *cdc.FollowOptions {
		return &cdc.FollowOptions{Filter: filter, PageSize: page, Heartbeat: time.Hour}
	}
	s := t.follow("filtered", log, cdc.Beginning, o(3))
	s.live()
	s.reaches(t.bounds(log).Head)
	s.reaches(lastOf(t.fill(log, 10)))
	head := t.bounds(log).Head
	want := filter.Select(t.all(log, cdc.Cursor{Epoch: s.first.Epoch}, 100))
	t.want(slices.Equal(seqsOf(s.got()), seqsOf(want)), "the filter selects %v, delivered were %v", seqsOf(want), seqsOf(s.got()))
	for _, c := range s.positions() {
		r := t.follow("resumed with the filter", log, cdc.After(c), o(2))
		r.reaches(head)
		rest := seqsOf(want[firstAbove(want, c.Seq):])
		t.want(slices.Equal(seqsOf(r.got()), rest), "resumed from the cursor %s, %v were delivered, want %v", shortCursor(c), seqsOf(r.got()), rest)
		_ = r.stop()
	}
}

func firstAbove(events []cdc.Event, seq uint64) int {
	for i, e := range events {
		if e.Seq > seq {
			return i
		}
	}
	return len(events)
}

// notAhead cuts a stream at each of its batches: what the cursor says was
// delivered must have been.
func notAhead(t *trial) {
	log := t.open()
	t.bulk(log, 9)
	all := t.all(log, cdc.Cursor{Epoch: t.bounds(log).Epoch}, 100)
	for _, f := range []cdc.Filter{{}, {Types: []string{"type1", "type3"}}} {
		var got []cdc.Event
		var cursor cdc.Cursor
		ctx, cancel := t.patient()
		t.trace.add("-- a stream with filter %+v", f)
		for batch, err := range t.h.follow(ctx, log.Log, cdc.Beginning, &cdc.FollowOptions{PageSize: 2, Filter: f, Heartbeat: time.Hour}) {
			if err != nil {
				break
			}
			got = append(got, batch.Events...)
			cursor = batch.Cursor
			t.trace.add("batch: %s, %s at %s", batch.State, eventsText(batch.Events), shortCursor(cursor))
			t.looked()
			for _, e := range f.Select(all) {
				if e.Seq <= cursor.Seq && !slices.Contains(seqsOf(got), e.Seq) {
					cancel()
					t.fail(verify.Bookmark, "the cursor %d came when %d had not been delivered: a stream that is cut here loses it", cursor.Seq, e.Seq)
				}
			}
			if last := lastSeq(got); cursor.Seq < last {
				cancel()
				t.fail(verify.Bookmark, "the cursor %d came with event %d: a stream that is cut here repeats it", cursor.Seq, last)
			}
			if batch.State == cdc.Live && cursor.Seq >= lastSeq(all) {
				break
			}
		}
		cancel()
	}
}

func heartbeatLive(t *trial) {
	log := t.open()
	t.fill(log, 3)
	s := t.follow("idle", log, cdc.Latest, &cdc.FollowOptions{Heartbeat: 2 * time.Millisecond})
	s.live()
	for range 3 {
		n := s.count()
		s.await(verify.Bookmark, func() bool { return s.batches >= n+3 }, "three heartbeats of 2 ms")
		t.fence(log, s)
	}
	cursors := s.positions()
	for i, c := range cursors {
		if i > 0 && c.Seq < cursors[i-1].Seq {
			t.fail(verify.Bookmark, "a heartbeat took the cursor back from %d to %d", cursors[i-1].Seq, c.Seq)
		}
	}
}

func heartbeatReplaying(t *trial) {
	log := t.open()
	t.fill(log, 8)
	slow := &slowReads{Log: log.Log, gate: make(chan struct{})}
	s := t.follow("over a slow store", slow, cdc.After(cdc.Cursor{}), &cdc.FollowOptions{PageSize: 3, Heartbeat: 2 * time.Millisecond})
	s.begun()
	s.await(verify.Bookmark, func() bool { return s.batches >= 4 }, "heartbeats of 2 ms while a read takes long")
	fourth := s.positions()[3]
	t.want(fourth.Seq == 0, "a heartbeat has the cursor %s though no page was read yet", shortCursor(fourth))
	close(slow.gate)
	t.fence(log, s)
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

func liveAnnounced(t *trial) {
	log := t.open()
	t.fill(log, 7)
	p, tapped := t.tapped(log)
	s := t.follow("states", tapped, cdc.Beginning, quiet())
	s.live()
	t.want(len(s.got()) == 7, "the stream was live after %d of 7 events", len(s.got()))
	t.fence(log, s)
	t.want(s.lives == 1, "Live was announced %d times in one turn", s.lives)
	t.soon(verify.Live, p.waiting, "the reader waits in Next")
	p.forceLag()
	t.append(log, t.event())
	t.wait(verify.Live, p.forced(), "the Next that a commit has to end")
	t.fence(log, s)
	s.await(verify.Bookmark, func() bool { return s.state == cdc.Live }, "the stream is live again after a lag")
	t.record(log)
}
