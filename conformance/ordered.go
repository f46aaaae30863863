package conformance

import (
	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func orderedCases() []Case {
	g := verify.Ordered
	return []Case{
		{Guarantee: g, Situation: "Sequential", Sentence: "120 events, more than one digit's worth, are read in the order of their appends", run: sequential},
		{Guarantee: g, Situation: "OneAppend", Sentence: "the events of one append keep the order of the arguments", run: oneAppend},
		{Guarantee: g, Situation: "Concurrent", Sentence: "four writers append while three streams follow: all see one order, and what was acknowledged first comes first", run: concurrent},
		{Guarantee: g, Situation: "LiveOrder", Sentence: "commits that a subscription was not asked about yet are returned in order, without a hole", run: liveOrder},
		{Guarantee: g, Situation: "CommitOrder", Sentence: "three transactions end in every order: what is read ascends", needs: []need{needThree}, run: commitOrder},
	}
}

func sequential(t *test) {
	log := t.open()
	want := t.Fill(log, 120)
	t.ascending(want)
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	for _, limit := range []int{1, 7, 119, 120, 1000} {
		t.SameSeqs(verify.Ordered, trial.SeqsOf(t.ReadAll(log, from, limit)), want, "read in pages of %d", limit)
	}
	t.Record(log)
}

func (t *test) ascending(seqs []uint64) {
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			t.Fail(verify.Ordered, "one append after the other got the seqs %d and %d", seqs[i-1], seqs[i])
		}
	}
}

func oneAppend(t *test) {
	log := t.open()
	t.Fill(log, 1)
	events := t.Events(30)
	r := t.Append(log, events...)
	t.ascending(r.Seqs)
	got := t.ReadAll(log, cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[0] - 1}, 1000)
	t.Want(len(got) == len(events), "appended %d events, read %d", len(events), len(got))
	for i, e := range got {
		if e.ID != events[i].ID {
			t.Fail(verify.Ordered, "argument %d was %s, but %s was read in its place", i, events[i].ID, e.ID)
		}
	}
	t.Record(log)
}

func concurrent(t *test) {
	log := t.open()
	streams := []*trial.Stream{
		t.Follow("from the beginning", log, cdc.Beginning(), trial.Quiet()),
		t.Follow("latest", log, cdc.Latest(), nil),
	}
	for _, s := range streams {
		s.AwaitFirst()
	}
	t.Write(log, 4, 12)
	streams = append(streams, t.Follow("late", log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 7}))
	t.Write(log, 4, 12)
	t.Fence(log, streams...)
	t.Record(log)
}

func liveOrder(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	for range 5 {
		seqs := t.Fill(log, 10)
		r.Committed(seqs...)
		r.Until(lastOf(seqs))
	}
}
