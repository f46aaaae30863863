package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// filteredCases hold a log that filters by itself to all that Read owes. One
// that does not is read whole, and its pages are filtered.
func filteredCases() []Case {
	r := verify.Resumable
	return []Case{
		{Guarantee: verify.Reliable, Situation: "FilteredExact", Sentence: "topics, types and keys that differ in case, spaces, accents, wildcards, zeros or their last byte, and empty ones, are told apart by a filter", run: filteredExact},
		{Guarantee: verify.Reliable, Situation: "FilteredUnstorable", Sentence: "a filter value that no event can have matches nothing and is no error", run: filteredUnstorable},
		{Guarantee: verify.Reliable, Situation: "FilteredFields", Sentence: "the values of a field are alternatives, however many and however often given, and all fields must match", run: filteredFields},
		{Guarantee: verify.Reliable, Situation: "FilteredMerged", Sentence: "several topics, dense and rare, are read in order and without a hole, from every cursor with every limit", run: filteredMerged},
		{Guarantee: verify.Reliable, Situation: "FilteredNextIsCovered", Sentence: "Next of a filtered page is never above the head, and reading from there finds every match that comes later", run: filteredNextIsCovered},
		{Guarantee: verify.Reliable, Situation: "FilteredLarge", Sentence: "matches that are together larger than a page are all read, in several pages", run: filteredLarge},
		{Guarantee: verify.Committed, Situation: "Filtered", Sentence: "three transactions end in every order, and who polls with a filter gets each match once it is committed, and not before", needs: []need{needThree}, run: filteredCommitted},
		{Guarantee: r, Situation: "FilteredTruncated", Sentence: "after a trim a filtered read below the floor is a reset or serves all that follows, and no match is passed over", run: filteredTruncated},
		{Guarantee: r, Situation: "FilteredForeign", Sentence: "a filtered read with a cursor of another epoch is an error", run: filteredForeign},
		{Guarantee: r, Situation: "FilteredDiverged", Sentence: "a filtered read after an event that matches or not, with the tag of another, is an error", run: filteredDiverged},
		{Guarantee: r, Situation: "FilteredFuture", Sentence: "a filtered read above everything drawn is an error", run: filteredFuture},
		{Guarantee: r, Situation: "FilteredRewound", Sentence: "a log goes back and grows again behind a filtered stream whose last event did not match: a reset, nothing passed over", needs: []need{needRewind}, run: filteredRewound},
		{Guarantee: r, Situation: "FilteredTrimUnderStream", Sentence: "a trim before the k-th call of a filtered stream, for every k: it delivers every match or ends with truncated", run: filteredTrimUnderStream},
		{Guarantee: verify.Bounded, Situation: "FilteredSlowAndTrimmed", Sentence: "a filtered stream that is overtaken by a trim ends with truncated or delivers every match", run: filteredSlowAndTrimmed},
	}
}

// tryFiltered reads as the log itself filters, if it does, and checks what
// every page has to be.
func (t *test) tryFiltered(log handle, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	page, err := cdc.Page{}, errors.ErrUnsupported
	if fr, ok := log.Log.(cdc.FilterReader); ok {
		page, err = fr.ReadFiltered(t.Ctx, after, limit, f)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		page, err = cdc.ReadFiltered(t.Ctx, log.Log, after, limit, f)
	}
	t.Trace("ReadFiltered after %s limit %d → %s", trial.CursorText(after), limit, trial.PageText(page, err))
	t.Checked()
	if err != nil {
		return page, err
	}
	if problem := verify.CheckPage(page, after, limit); problem != "" {
		t.Fail(verify.Reliable, "ReadFiltered after %d, limit %d, filter %.200q: %s", after.Seq, limit, fmt.Sprint(f), problem)
	}
	if i := slices.IndexFunc(page.Events, func(e cdc.Event) bool { return !f.Match(e) }); i >= 0 {
		t.Fail(verify.Reliable, "ReadFiltered with filter %.200q returned event %d, which does not match", fmt.Sprint(f), page.Events[i].Seq)
	}
	return page, nil
}

// allFiltered reads to the end.
func (t *test) allFiltered(log handle, after cdc.Cursor, limit int, f cdc.Filter) []uint64 {
	var got []uint64
	for range 20_000 { // pages may be of one event
		page, err := t.tryFiltered(log, after, limit, f)
		if err != nil {
			t.StoreFailed("ReadFiltered", err)
		}
		if page.Next == after.Seq {
			return got
		}
		got = append(got, trial.SeqsOf(page.Events)...)
		after = cdc.Cursor{Epoch: after.Epoch, Seq: page.Next, Tag: tagOf(page)}
	}
	t.Fail(verify.Reliable, "reading with filter %.200q does not come to an end", fmt.Sprint(f))
	return nil
}

// tagOf is the tag of the position after a page.
func tagOf(p cdc.Page) string {
	if n := len(p.Events); n > 0 && p.Events[n-1].Seq == p.Next {
		return p.Events[n-1].Tag()
	}
	return p.Tag
}

// lookalikes are texts that a store may take for each other.
func lookalikes() []string {
	long := strings.Repeat("x", 250)
	return []string{
		"", " ", "a", "A", "a ", " a", "a  ", "a\t", "á", "a\u0301", "ä", "ae", "ss", "ß", "ẞ", "i", "ı", "İ", "I", "K", "\u212a",
		"ab", "a%", "a_", "%", "_", "a*", "*", "?", "[a]", `a\`, `\`, `a\%`, "a'b", `a"b`, "a`b", "a--", "a;", "$1", "?1", ":a", "NULL", "null",
		"1", "01", "1.0", "1e0", " 1", "0x1", "日本", "日本語", "🎯", "a\r", "a\n", "a\r\n", "orders", "orders/", "orders/1", "orders/10", "\uFFFD", "a\uFEFF", "a\u00a0", "a\u200b", "{a}", "{}", "a,b",
		long, long + "xxxxx", long + "xxxxxy", long + "xxxxxxy", strings.Repeat("y", 6000), strings.Repeat("y", 6000) + "1", strings.Repeat("y", 6000) + "2",
	}
}

func filteredExact(t *test) {
	log := t.open()
	texts := lookalikes()
	var events []cdc.Event
	for _, text := range texts {
		events = append(events, cdc.Event{Topic: text, Type: text, Key: text})
	}
	seqs := t.Append(log, events...).Seqs
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	for i, text := range texts {
		for _, f := range []cdc.Filter{{Topics: []string{text}}, {Types: []string{text}}, {Keys: []string{text}}, {Topics: []string{text}, Types: []string{text}, Keys: []string{text}}} {
			if got := t.allFiltered(log, from, 100, f); !slices.Equal(got, seqs[i:i+1]) {
				t.Fail(verify.Reliable, "filter %.300q: expected event %d alone, seen %v", fmt.Sprintf("%q", f), seqs[i], got)
			}
		}
	}
	for _, text := range []string{"b", "aB", "ORDERS", "orders/1 ", "order", "a%b", strings.Repeat("y", 5999)} {
		for _, f := range []cdc.Filter{{Topics: []string{text}}, {Types: []string{text}}, {Keys: []string{text}}} {
			got := t.allFiltered(log, from, 100, f)
			t.Want(len(got) == 0, "filter %.300q, which no event matches, gave %v", fmt.Sprintf("%q", f), got)
		}
	}
}

// filteredUnstorable reads with values that CheckAppend refuses. A browser can
// ask for them.
func filteredUnstorable(t *test) {
	log := t.open()
	seqs := t.Append(log, cdc.Event{Topic: "a", Type: "a", Key: "a"}, cdc.Event{Topic: "\uFFFD", Type: "\uFFFD", Key: "\uFFFD"}, cdc.Event{}).Seqs
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	for _, text := range []string{"\x00", "a\x00", "a\x00b", "\xff", "a\xff", "\xed\xa0\x80", "\xc0\x80"} {
		for _, f := range []cdc.Filter{{Topics: []string{text}}, {Types: []string{text}}, {Keys: []string{text}}} {
			got := t.allFiltered(log, from, 10, f)
			t.Want(len(got) == 0, "filter %q gave %v", fmt.Sprintf("%q", f), got)
		}
		both := cdc.Filter{Topics: []string{text, "a"}}
		t.SameSeqs(verify.Reliable, t.allFiltered(log, from, 10, both), seqs[:1], "filter %q", both)
	}
}

func filteredFields(t *test) {
	log := t.open()
	t.FillFast(log, 60) // every combination of three topics, four types and five keys
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	all := t.ReadAll(log, from, 1000)
	many := func(kind string, n int, more ...string) []string {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprintf("%s-none-%d", kind, i))
		}
		return append(values, more...)
	}
	filters := []cdc.Filter{
		{Topics: []string{"topic1"}, Types: []string{"type2"}},
		{Topics: []string{"topic0", "topic2"}, Types: []string{"type1", "type3"}, Keys: []string{"key4", "key0"}},
		{Topics: []string{"topic2", "topic2", "topic2"}},
		{Topics: []string{"topic1", "none", "topic1", "topic0"}, Keys: []string{"key1", "key1"}},
		{Topics: []string{"topic1"}, TopicPrefixes: []string{"topic2", "x"}},
		{Topics: []string{"none"}, TopicPrefixes: []string{""}, Types: []string{"type0"}},
		{Topics: []string{"type1"}},
		{Types: []string{"topic1"}},
		{Keys: []string{"topic1"}, Topics: []string{"topic1"}},
	}
	for _, n := range []int{1, 31, 99, 100, 101, 999, 1000, 3000} {
		filters = append(filters, cdc.Filter{Topics: many("topic", n, "topic1")}, cdc.Filter{Types: many("type", n, "type1"), Keys: many("key", n, "key1", "key2")})
	}
	for _, f := range filters {
		want := trial.SeqsOf(f.Select(all))
		for _, limit := range []int{1, 7, 1000} {
			t.SameSeqs(verify.Reliable, t.allFiltered(log, from, limit, f), want, "filter %.200q in pages of %d", fmt.Sprint(f), limit)
		}
	}
}

func filteredMerged(t *test) {
	log := t.open()
	var topics []string // dense and rare ones, in runs and alone
	for n := range 60 {
		topics = append(topics, [...]string{"dense", "dense", "dense", "other", "dense", "middle", "other"}[n%7])
		if n%19 == 7 {
			topics = append(topics, "rare", "other", "other")
		}
	}
	events := make([]cdc.Event, len(topics))
	for i, topic := range topics {
		events[i] = cdc.Event{Topic: topic}
	}
	t.Append(log, events...)
	from := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	all := t.ReadAll(log, from, 1000)
	for _, f := range []cdc.Filter{
		{Topics: []string{"dense", "rare"}},
		{Topics: []string{"rare", "middle"}},
		{Topics: []string{"rare", "middle", "dense"}},
		{Topics: []string{"none", "rare"}},
		{Topics: []string{"rare"}},
	} {
		for i := 0; i <= len(all); i += 7 {
			if i > 0 {
				from = all[i-1].Cursor(from.Epoch)
			}
			want := trial.SeqsOf(f.Select(all[i:]))
			for _, limit := range []int{1, 3, 100} {
				t.SameSeqs(verify.Reliable, t.allFiltered(log, from, limit, f), want, "topics %v after %d in pages of %d", f.Topics, from.Seq, limit)
			}
		}
		from = cdc.Cursor{Epoch: from.Epoch}
	}
	t.Record(log)
}

func filteredNextIsCovered(t *test) {
	log := t.open()
	f := cdc.Filter{Topics: []string{"topic1", "none"}}
	pos := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	var want, got []uint64
	for n := range 24 {
		events := t.Events(1 + n%3)
		for i, seq := range t.Append(log, events...).Seqs {
			if f.Match(events[i]) {
				want = append(want, seq)
			}
		}
		for {
			page, err := t.tryFiltered(log, pos, 2, f)
			if err != nil {
				t.StoreFailed("ReadFiltered", err)
			}
			if page.Next == pos.Seq {
				break
			}
			if head := t.Bounds(log).Head; page.Next > head {
				t.Fail(verify.Reliable, "a filtered page after %d has Next %d above the head %d: a match between them would never be read", pos.Seq, page.Next, head)
			}
			got = append(got, trial.SeqsOf(page.Events)...)
			pos = cdc.Cursor{Epoch: pos.Epoch, Seq: page.Next, Tag: tagOf(page)}
		}
		t.SameSeqs(verify.Reliable, got, want, "who polls with a filter, after append %d", n)
	}
	t.Record(log)
}

func filteredLarge(t *test) {
	log := t.open()
	var want []uint64
	f := cdc.Filter{Topics: []string{"large", "larger"}}
	for n := range 8 {
		e := t.Event()
		e.Topic, e.Data = f.Topics[n%2], bytes.Repeat([]byte("x"), 400_000)
		want = append(want, t.Append(log, e).Seqs...)
		t.Fill(log, 1)
	}
	for _, limit := range []int{1, 2, 4, 1000} {
		t.SameSeqs(verify.Reliable, t.allFiltered(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, limit, f), want, "large matches read in pages of %d", limit)
	}
}

// filteredPoll reads with a filter to the end, again and again.
type filteredPoll struct {
	t   *test
	log handle
	f   cdc.Filter
	pos cdc.Cursor
	got []string // IDs
}

// read gets what came since, of which nothing may be of an open transaction.
func (p *filteredPoll) read(open []*trial.Tx) {
	for {
		page, err := p.t.tryFiltered(p.log, p.pos, 2, p.f)
		if err != nil {
			p.t.StoreFailed("ReadFiltered", err)
		}
		for _, e := range page.Events {
			p.got = append(p.got, e.ID)
			if slices.ContainsFunc(open, func(x *trial.Tx) bool { return !x.Ended() && slices.Contains(x.IDs(), e.ID) }) {
				p.t.Fail(verify.Committed, "event %d of a transaction that is still open was read with a filter", e.Seq)
			}
		}
		if page.Next == p.pos.Seq {
			return
		}
		p.pos = cdc.Cursor{Epoch: p.pos.Epoch, Seq: page.Next, Tag: tagOf(page)}
	}
}

func filteredCommitted(t *test) {
	log := t.open()
	p := &filteredPoll{t: t, log: log, f: cdc.Filter{Topics: []string{"topic1", "topic2"}}, pos: cdc.Cursor{Epoch: t.Bounds(log).Epoch}}
	for _, order := range orders3() {
		for outcome := range 8 {
			t.Trace("-- transactions end in the order %v, commits %03b", order, outcome)
			var open []*trial.Tx
			for n := range 3 {
				x := t.Begin(log)
				x.Append(1 + (outcome+n)%3)
				open = append(open, x)
				p.read(open)
			}
			for _, n := range order {
				if outcome&(1<<n) != 0 {
					open[n].Commit()
				} else {
					open[n].Rollback()
				}
				p.read(open)
			}
		}
	}
	t.Fill(log, 1)
	p.read(nil)
	var want []string
	for _, e := range p.f.Select(t.Record(log)) {
		want = append(want, e.ID)
	}
	t.Want(slices.Equal(p.got, want), "who polled with a filter got %v, the log has %v", p.got, want)
}
