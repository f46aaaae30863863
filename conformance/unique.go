package conformance

import (
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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

func pageBoundary(n int) func(*test) {
	return func(t *test) {
		log := t.open()
		t.Fill(log, n)
		s := t.Follow("in pages", log, cdc.Beginning(), &cdc.FollowOptions{PageSize: pageLimit})
		s.AwaitLive()
		t.Want(len(s.Events()) == n, "the log has %d events, a stream in pages of %d was live after %d: %s", n, pageLimit, len(s.Events()), trial.EventsText(s.Events()))
		t.Fence(log, s)
		t.Record(log)
	}
}

func notAgain(t *test) {
	log := t.open()
	t.Fill(log, 12)
	epoch := t.Bounds(log).Epoch
	for _, e := range t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000) {
		for _, c := range []cdc.Cursor{{Epoch: epoch, Seq: e.Seq}, e.Cursor(epoch)} {
			for limit := 1; limit <= 13; limit++ {
				page := t.Read(log, c, limit)
				if len(page.Events) > 0 && page.Events[0].Seq <= e.Seq {
					t.Fail(verify.Unique, "reading after %d returned %d again", e.Seq, page.Events[0].Seq)
				}
			}
		}
	}
}

func liveOnce(t *test) {
	log := t.open()
	t.Fill(log, 2)
	r := t.RawAtHead(log)
	carried := map[uint64]int{}
	for range 30 {
		seqs := t.Append(log, t.Events(2)...).Seqs
		r.Committed(seqs...)
		for r.Pos.Seq < seqs[1] {
			events, err := t.Next(r.Sub, verify.Live, "something for a committed event")
			for _, e := range events {
				if carried[e.Seq]++; carried[e.Seq] > 1 {
					t.Fail(verify.Unique, "the subscription returned event %d twice", e.Seq)
				}
			}
			switch {
			case len(events) > 0:
				r.Take(events)
			case err == nil || r.Lagged(err):
				r.Read()
			}
		}
	}
}

func whileWriting(t *test) {
	log := t.open()
	t.Fill(log, 5)
	done := t.Go(func() { t.Write(log, 2, 30) })
	var streams []*trial.Stream
	for n := range 8 {
		start := [...]cdc.Start{cdc.Latest(), cdc.Beginning()}[n%2]
		s := t.Follow(fmt.Sprintf("joined as number %d", n+1), log, start, &cdc.FollowOptions{PageSize: 3})
		s.AwaitFirst()
		streams = append(streams, s)
	}
	t.Wait(verify.Bounded, done, "the appends")
	t.Fence(log, streams...)
	t.Record(log)
}
