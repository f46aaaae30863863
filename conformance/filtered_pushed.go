package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// pushedCases are about prefixes, long ways between matches, and what a log
// keeps of filtered reads.
func pushedCases() []Case {
	return []Case{
		{Guarantee: verify.Reliable, Situation: "FilteredPrefixes", Sentence: "a prefix of topics selects those that begin with its bytes, itself included, whatever follows, beside others and beside topics", run: filteredPrefixes},
		{Guarantee: verify.Reliable, Situation: "FilteredFar", Sentence: "matches are found however many events that do not match lie before and between them", run: filteredFar},
		{Guarantee: verify.Contained, Situation: "FilteredImmutable", Sentence: "a filtered page that was handed out never changes, and a read does not write to its filter", run: filteredImmutable},
		{Guarantee: verify.Resumable, Situation: "FilteredAgain", Sentence: "a filtered read that was answered once is checked anew: with another tag, with another epoch, after a new epoch", run: filteredAgain},
	}
}

// prefixed are topics that a range or a pattern of some store leaves out, or
// takes for others.
func prefixed() []string {
	long := strings.Repeat("p", 300)
	return slices.Concat(lookalikes(), []string{
		"a\uffff", "a\U00010000", "a🎯", "a\U0010ffff", "a\U0010ffffz", "a\x7f", "a\x01", "orders.", "orders.x", "orders/🎯", "orders0", "A/b", "a/b", "a/B",
		long[:33], long[:33] + "1", long[:64] + "2", long[:128] + "3", long + "4", long + "5",
	})
}

func filteredPrefixes(t *test) {
	log := t.open()
	topics := prefixed()
	events := make([]cdc.Event, len(topics))
	for i, topic := range topics {
		events[i] = cdc.Event{Topic: topic, Type: fmt.Sprint("type", i%2)}
	}
	t.Append(log, events...)
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	all := t.ReadAll(log, from, 1000)
	filters := []cdc.Filter{
		{TopicPrefixes: []string{"none", "orders/", "日"}, Topics: []string{"ab", "orders"}},
		{TopicPrefixes: []string{"a", "a/", "a"}, Types: []string{"type1"}},
		{TopicPrefixes: append(manyTexts("none", 120), "orders/1", "🎯")},
	}
	for _, prefix := range append(topics, "order", "orders/x", "p", "b", "日本語x", "a%b") {
		filters = append(filters, cdc.Filter{TopicPrefixes: []string{prefix}})
	}
	for _, f := range filters {
		t.SameSeqs(verify.Reliable, t.allFiltered(log, from, 1000, f), trial.SeqsOf(f.Select(all)), "prefixes %.200q, topics %q, types %q", fmt.Sprint(f.TopicPrefixes), f.Topics, f.Types)
	}
}

func manyTexts(text string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s-%d", text, i)
	}
	return texts
}

// filteredFar puts matches where a read that looks at so many events and no
// more would end.
func filteredFar(t *test) {
	const n, each = 4200, 600
	log := t.open()
	var seqs []uint64
	for from := 0; from < n; from += each {
		events := make([]cdc.Event, each)
		for i := range events {
			events[i] = cdc.Event{Topic: fmt.Sprint("t", from+i), Key: fmt.Sprint("k", from+i)}
		}
		seqs = append(seqs, t.Append(log, events...).Seqs...)
	}
	places := []int{n - 1}
	for _, budget := range []int{100, 128, 200, 250, 256, 500, 512, 1000, 1024, 2000, 2048, 4000, 4096} {
		places = append(places, budget-1, budget)
	}
	slices.Sort(places)
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	for _, at := range [][]int{{n - 1}, {0, n / 2}, places} {
		var topics, keys []string
		var want []uint64
		for _, i := range at {
			topics, keys, want = append(topics, fmt.Sprint("t", i)), append(keys, fmt.Sprint("k", i)), append(want, seqs[i])
		}
		for _, f := range []cdc.Filter{{Topics: topics}, {Keys: keys}, {TopicPrefixes: []string{"t"}, Keys: keys}} {
			t.SameSeqs(verify.Reliable, t.allFiltered(log, from, 1000, f), want, "%d matches among %d events", len(want), n)
		}
	}
}

func filteredImmutable(t *test) {
	log := t.open()
	t.FillFast(log, 60)
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	var pages []cdc.Page
	var sums [][]uint64
	read := func(after uint64, limit int, f cdc.Filter) {
		given := fmt.Sprintf("%q", f)
		page, err := t.tryFiltered(log, cdc.Cursor{Epoch: from.Epoch, Seq: after}, limit, f)
		if err != nil {
			t.StoreFailed("ReadFiltered", err)
		}
		t.Want(given == fmt.Sprintf("%q", f), "ReadFiltered was given the filter %s and has changed it to %q", given, f)
		pages, sums = append(pages, page), append(sums, sumsOf(page.Events))
	}
	for n := range 3 {
		for _, f := range append(thirds(), cdc.Filter{Topics: []string{"topic2", "topic1", "topic2", "topic0"}, Types: []string{"type3", "type1"}, Keys: []string{"key4", "key0"}}) {
			read(0, 20, f)
			if held := pages[len(pages)-1]; len(held.Events) > 0 { // another reader of the same page overwrites what is its own
				_ = append(held.Events, t.Event())
			}
			read(pages[len(pages)-1].Next, 3+n, f)
		}
		t.Fill(log, 5)
	}
	t.trim(log, t.Bounds(log).Head-2)
	t.Fill(log, 5)
	for i, page := range pages {
		t.Want(slices.Equal(sumsOf(page.Events), sums[i]), "a filtered page that was handed out now holds %s", trial.EventsText(page.Events))
	}
}

// filteredAgain asks for what a cache has, with cursors that it must not serve.
func filteredAgain(t *test) {
	log := t.open()
	t.Fill(log, 12)
	epoch := t.Bounds(log).Epoch
	all := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	refused := func(c cdc.Cursor, f cdc.Filter, what string, reason cdc.Reason) {
		_, err := t.tryFiltered(log, c, 10, f)
		t.isReset(err, log, "a filtered read that was answered before, "+what, reason)
	}
	for i, f := range thirds() {
		good := all[i+3].Cursor(epoch)
		for range 2 {
			if _, err := t.tryFiltered(log, good, 10, f); err != nil {
				t.StoreFailed("ReadFiltered", err)
			}
			refused(cdc.Cursor{Epoch: "another-epoch", Seq: good.Seq, Tag: good.Tag}, f, "with another epoch", cdc.ReasonForeign)
			refused(cdc.Cursor{Epoch: epoch, Seq: good.Seq, Tag: all[i].Tag()}, f, "with another tag", cdc.ReasonDiverged)
		}
	}
	t.renew(log)
	for i, f := range thirds() {
		c := all[i+3].Cursor(epoch)
		t.Eventually(verify.Resumable, func() bool { // a Hub has the old pages until it hears of the new epoch
			_, err := t.tryFiltered(log, c, 10, f)
			return err != nil
		}, "a filtered read with the old epoch is refused")
		refused(c, f, "with the epoch before", cdc.ReasonForeign)
		c.Epoch = t.Bounds(log).Epoch
		t.SameSeqs(verify.Resumable, t.allFiltered(log, c, 10, f), trial.SeqsOf(f.Select(all[i+4:])), "filtered reads in the new epoch")
	}
}
