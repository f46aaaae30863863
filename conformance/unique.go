package conformance

import (
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func uniqueCases() []Case {
	g := verify.Unique
	cases := []Case{
		{Guarantee: g, Situation: "EveryCursor", Sentence: "reading after the cursor of any event does not return that event again", run: notAgain},
		{Guarantee: g, Situation: "LiveEvents", Sentence: "a subscription returns no event twice", run: liveOnce},
		{Guarantee: g, Situation: "WhileWriting", Sentence: "streams that start while events are committed get each event once", run: whileWriting},
	}
	for _, n := range pageSizes() {
		cases = append(cases, Case{
			Guarantee: g, Situation: fmt.Sprintf("PageBoundary/%d", n),
			Sentence: fmt.Sprintf("%d events in pages of %d: no event ends one page and begins the next", n, pageLimit),
			run:      pageBoundary(n),
		})
	}
	return cases
}

// pageLimit and pageSizes are a page's limit L and the sizes around it: 0, 1,
// L−1, L, L+1, 2L, 2L+1.
const pageLimit = 5

func pageSizes() []int {
	return []int{0, 1, pageLimit - 1, pageLimit, pageLimit + 1, 2 * pageLimit, 2*pageLimit + 1}
}

func pageBoundary(n int) func(*trial) {
	return func(t *trial) {
		log := t.open()
		t.fill(log, n)
		s := t.follow("in pages", log, cdc.Beginning, &cdc.FollowOptions{PageSize: pageLimit})
		s.live()
		t.want(len(s.got()) == n, "the log has %d events, a stream in pages of %d was live after %d: %s", n, pageLimit, len(s.got()), eventsText(s.got()))
		t.fence(log, s)
		t.record(log)
	}
}

func notAgain(t *trial) {
	log := t.open()
	t.fill(log, 12)
	epoch := t.bounds(log).Epoch
	for _, e := range t.all(log, cdc.Cursor{Epoch: epoch}, 1000) {
		for _, c := range []cdc.Cursor{{Epoch: epoch, Seq: e.Seq}, e.Cursor(epoch)} {
			for limit := 1; limit <= 13; limit++ {
				page := t.read(log, c, limit)
				if len(page.Events) > 0 && page.Events[0].Seq <= e.Seq {
					t.fail(verify.Unique, "reading after %d returned %d again", e.Seq, page.Events[0].Seq)
				}
			}
		}
	}
}

func liveOnce(t *trial) {
	log := t.open()
	t.fill(log, 2)
	r := t.rawAt(log)
	carried := map[uint64]int{}
	for range 30 {
		seqs := t.append(log, t.eventsN(2)...).Seqs
		r.commit(seqs...)
		for r.pos.Seq < seqs[1] {
			events, err := t.returns(r.sub, verify.Live, "something for a committed event")
			for _, e := range events {
				if carried[e.Seq]++; carried[e.Seq] > 1 {
					t.fail(verify.Unique, "the subscription returned event %d twice", e.Seq)
				}
			}
			switch {
			case len(events) > 0:
				r.take(events)
			case err == nil || r.lagged(err):
				r.read()
			}
		}
	}
}

func whileWriting(t *trial) {
	log := t.open()
	t.fill(log, 5)
	done := t.beside(func() { t.writers(log, 2, 30) })
	var streams []*stream
	for n := range 8 {
		start := [...]cdc.Start{cdc.Latest, cdc.Beginning}[n%2]
		s := t.follow(fmt.Sprintf("joined as number %d", n+1), log, start, &cdc.FollowOptions{PageSize: 3})
		s.begun()
		streams = append(streams, s)
	}
	t.wait(verify.Bounded, done, "the appends")
	t.fence(log, streams...)
	t.record(log)
}
