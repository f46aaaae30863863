package conformance

import (
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
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

func sequential(t *trial) {
	log := t.open()
	want := t.fill(log, 120)
	t.ascending(want)
	from := cdc.Cursor{Epoch: t.bounds(log).Epoch}
	for _, limit := range []int{1, 7, 119, 120, 1000} {
		t.sequence(verify.Ordered, seqsOf(t.all(log, from, limit)), want, "read in pages of %d", limit)
	}
	t.record(log)
}

func (t *trial) ascending(seqs []uint64) {
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			t.fail(verify.Ordered, "one append after the other got the seqs %d and %d", seqs[i-1], seqs[i])
		}
	}
}

func oneAppend(t *trial) {
	log := t.open()
	t.fill(log, 1)
	events := t.eventsN(30)
	r := t.append(log, events...)
	t.ascending(r.Seqs)
	got := t.all(log, cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[0] - 1}, 1000)
	t.want(len(got) == len(events), "appended %d events, read %d", len(events), len(got))
	for i, e := range got {
		if e.ID != events[i].ID {
			t.fail(verify.Ordered, "argument %d was %s, but %s was read in its place", i, events[i].ID, e.ID)
		}
	}
	t.record(log)
}

func concurrent(t *trial) {
	log := t.open()
	streams := []*stream{
		t.follow("from the beginning", log, cdc.Beginning, quiet()),
		t.follow("latest", log, cdc.Latest, nil),
	}
	for _, s := range streams {
		s.begun()
	}
	t.writers(log, 4, 12)
	streams = append(streams, t.follow("late", log, cdc.Beginning, &cdc.FollowOptions{PageSize: 7}))
	t.writers(log, 4, 12)
	t.fence(log, streams...)
	t.record(log)
}

func liveOrder(t *trial) {
	log := t.open()
	r := t.rawAt(log)
	for range 5 {
		seqs := t.fill(log, 10)
		r.commit(seqs...)
		r.until(lastOf(seqs))
	}
}

// writers appends from several goroutines at once and waits for them.
func (t *trial) writers(log cdc.Log, writers, each int) {
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				if _, err := t.tryAppend(log, t.eventsN(1+(w+n)%3)...); err != nil {
					t.appendFailed(err)
					return
				}
			}
		})
	}
	group.Wait()
}
