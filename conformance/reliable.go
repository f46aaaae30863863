package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func reliableCases() []Case {
	g := verify.Reliable
	var cases []Case
	for _, n := range pageSizes() {
		cases = append(cases, Case{
			Guarantee: g, Situation: fmt.Sprintf("EveryCursorEveryLimit/%d", n),
			Sentence: fmt.Sprintf("a log of %d events is read from every cursor with every limit: nothing is missing", n),
			run:      everyCursorEveryLimit(n),
		})
	}
	return append(
		cases,
		Case{Guarantee: g, Situation: "ReadAgain", Sentence: "what Next of a page covered is the same when it is read again, while others append", run: readAgain},
		Case{Guarantee: g, Situation: "NextIsCovered", Sentence: "Next of a page is never above the head: what comes later comes above it", run: nextIsCovered},
		Case{Guarantee: g, Situation: "Filtered", Sentence: "a filter leaves out what it does not match and nothing else, from every cursor with every limit", run: filteredReads},
		Case{Guarantee: g, Situation: "LargeEvents", Sentence: "events that are together larger than a page are all read, and a page is never empty because of them", run: largeEvents},
		Case{Guarantee: g, Situation: "Bytes", Sentence: "what was appended is read with the same bytes, also above 64 KiB", run: exactBytes},
		Case{Guarantee: g, Situation: "LiveBurst", Sentence: "a burst larger than any buffer reaches a live stream", run: liveBurst},
		Case{Guarantee: g, Situation: "ShortPages", Sentence: "a source whose pages are shorter than asked for is read to the end before the stream is live", run: shortPages},
		Case{Guarantee: g, Situation: "ReadFails", Sentence: "the k-th read fails, for every k: the stream ends with that error or delivers everything", run: readFails},
		Case{Guarantee: g, Situation: "FirstLive", Sentence: "the first event after a quiet start reaches a live stream", run: firstLive},
		Case{Guarantee: g, Situation: "Holes", Sentence: "rolled-back transactions leave holes: the events around them are read and followed", needs: []need{needBegin}, run: holes},
		Case{Guarantee: g, Situation: "CommitOrder", Sentence: "three transactions end in every order, with a poll after each step: a reader that polls misses nothing", needs: []need{needThree}, run: commitOrder},
		Case{Guarantee: g, Situation: "StoreFails", Sentence: "a read that fails is an error, never the end of the log", needs: []need{needBreak}, run: storeFails},
		Case{Guarantee: g, Situation: "Drawn", Sentence: "operations drawn from the seed: appends, transactions, trims, lags, breaks, and streams that begin, stand still and go on; each delivers exactly the log", run: drawnScripts},
	)
}

func everyCursorEveryLimit(n int) func(*trial) {
	return func(t *trial) {
		log := t.open()
		seqs := t.fill(log, n)
		b := t.bounds(log)
		t.want(b.Head >= lastOf(seqs), "the head is %d after event %d was acknowledged", b.Head, lastOf(seqs))
		for i := range n + 1 {
			after := cdc.Cursor{Epoch: b.Epoch}
			if i > 0 {
				after.Seq = seqs[i-1]
			}
			for limit := 1; limit <= n+1; limit++ {
				t.sequence(verify.Reliable, seqsOf(t.all(log, after, limit)), seqs[i:], "read after %d in pages of %d", after.Seq, limit)
			}
		}
		t.record(log)
	}
}

func lastOf(seqs []uint64) uint64 {
	if len(seqs) == 0 {
		return 0
	}
	return seqs[len(seqs)-1]
}

// readAgain lets a reader poll while others append, and compares what it was
// told with what is there afterwards.
func readAgain(t *trial) {
	log := t.open()
	done := t.beside(func() { t.writers(log, 4, 15) })
	epoch := t.bounds(log).Epoch
	pos := cdc.Cursor{Epoch: epoch}
	s := t.history.Stream("polling")
	s.Begin(pos)
	for polls := 0; ; polls++ {
		ended := false
		select {
		case <-done:
			ended = true
		default:
		}
		breathe()
		page := t.read(log, pos, 3)
		for _, e := range page.Events {
			s.Add(e.Seq, verify.RecordOf(e))
		}
		pos.Seq = page.Next
		s.Add(pos.Seq)
		if ended && len(page.Events) == 0 {
			break
		}
	}
	t.record(log)
}

func nextIsCovered(t *trial) {
	log := t.open()
	pos := cdc.Cursor{Epoch: t.bounds(log).Epoch}
	for n := range 24 {
		seqs := t.append(log, t.eventsN(1+n%3)...).Seqs
		for {
			page := t.read(log, pos, 2)
			if page.Next == pos.Seq {
				break
			}
			if head := t.bounds(log).Head; page.Next > head {
				t.fail(verify.Reliable, "a page after %d has Next %d above the head %d: an event between them would never be read", pos.Seq, page.Next, head)
			}
			pos.Seq = page.Next
		}
		if pos.Seq < lastOf(seqs) {
			t.fail(verify.Reliable, "event %d was acknowledged, but reading ended at %d", lastOf(seqs), pos.Seq)
		}
	}
	t.record(log)
}

func filteredReads(t *trial) {
	log := t.open()
	t.fill(log, 24)
	epoch := t.bounds(log).Epoch
	all := t.all(log, cdc.Cursor{Epoch: epoch}, 1000)
	for _, f := range []cdc.Filter{
		{Types: []string{"type1"}},
		{Topics: []string{"topic*"}, Keys: []string{"key0", "key3"}},
		{Types: []string{"none"}},
		{Keys: []string{all[len(all)-1].Key}, Types: []string{all[len(all)-1].Type}},
	} {
		for i := 0; i < len(all); i += 5 {
			want := seqsOf(f.Select(all[i:]))
			after := cdc.Cursor{Epoch: epoch, Seq: all[i].Seq - 1}
			for _, limit := range []int{1, 2, 3, 8, 100} {
				got := t.filtered(log, after, limit, f)
				if !slices.Equal(got, want) {
					t.fail(verify.Reliable, "filter %+v after %d in pages of %d: expected %v, seen %v", f, after.Seq, limit, want, got)
				}
			}
		}
		s := t.follow(fmt.Sprintf("filter %v", f), log, cdc.Beginning, &cdc.FollowOptions{Filter: f, PageSize: 3})
		s.live()
		s.reaches(t.bounds(log).Head)
		t.want(slices.Equal(seqsOf(s.got()), seqsOf(f.Select(all))), "a stream with filter %+v delivered %v, want %v", f, seqsOf(s.got()), seqsOf(f.Select(all)))
		_ = s.stop()
	}
}

func (t *trial) filtered(log handle, after cdc.Cursor, limit int, f cdc.Filter) []uint64 {
	var got []uint64
	for range 1000 {
		page, err := cdc.ReadFiltered(t.ctx, log.Log, after, limit, f)
		t.trace.add("ReadFiltered after %s limit %d → %s", shortCursor(after), limit, pageText(page, err))
		t.looked()
		if err != nil {
			t.broken("ReadFiltered", err)
		}
		if problem := verify.CheckPage(page, after, limit); problem != "" {
			t.fail(verify.Reliable, "ReadFiltered after %d, limit %d: %s", after.Seq, limit, problem)
		}
		if page.Next == after.Seq {
			return got
		}
		got = append(got, seqsOf(page.Events)...)
		after.Seq = page.Next
	}
	t.fail(verify.Reliable, "reading with filter %+v does not come to an end", f)
	return nil
}

func largeEvents(t *trial) {
	log := t.open()
	var want []uint64
	for range 6 {
		e := t.event()
		e.Data = bytes.Repeat([]byte("x"), 400_000)
		want = append(want, t.append(log, e).Seqs...)
	}
	want = append(want, t.fill(log, 3)...)
	epoch := t.bounds(log).Epoch
	for _, limit := range []int{1, 2, 4, 1000} {
		t.sequence(verify.Reliable, seqsOf(t.all(log, cdc.Cursor{Epoch: epoch}, limit)), want, "large events read in pages of %d", limit)
	}
	s := t.follow("large events", log, cdc.Beginning, nil)
	t.fence(log, s)
}

func exactBytes(t *trial) {
	log := t.open()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	events := []cdc.Event{
		{},
		{Type: "empty", Data: []byte{}},
		{Type: "every byte", Data: every},
		{Type: "no UTF-8", Data: []byte{0xff, 0xfe, 0, '\r', '\n', 0x80}},
		{Topic: "ü/日本/🎯", Type: "t.ü", Key: "k\n\r\t\"'\\", ID: "id ü", Meta: map[string]string{"traceparent": "00-ab", "ü": "\r\n", "": "empty"}},
		{Type: strings.Repeat("t", 300), Key: strings.Repeat("k", 300), Topic: strings.Repeat("o", 300)},
	}
	for _, n := range []int{1<<16 - 1, 1 << 16, 1<<16 + 1, 300_000, cdc.DefaultMaxEventBytes - 100} {
		events = append(events, cdc.Event{Type: fmt.Sprintf("%d bytes", n), Data: bytes.Repeat([]byte("0123456789abcde\x00"), n/16+1)[:n]})
	}
	_, tapped := t.tapped(log) // which ends a Next that never waits: below time has to pass
	live := t.follow("live", tapped, cdc.Beginning, nil)
	live.begun()
	began := time.Now().Add(-2 * time.Second)
	for i := range events {
		time.Sleep(1_234_567) // so that virtual times are not whole milliseconds
		events[i].Seq = t.append(log, events[i].Clone()).Seqs[0]
	}
	ended := time.Now().Add(2 * time.Second)
	live.until(events[len(events)-1].Seq)
	read := t.all(log, cdc.Cursor{Epoch: t.bounds(log).Epoch}, 3)
	t.sameEvents("Read", read, events, began, ended)
	t.sameEvents("the stream", live.got(), events, began, ended)
	for i, e := range live.got() {
		t.want(e.Time.Equal(read[i].Time), "the stream gave event %d with the time %v, Read with %v: one of the cursors made from them is refused as diverged", e.Seq, e.Time, read[i].Time)
	}
}

func (t *trial) sameEvents(who string, got, want []cdc.Event, began, ended time.Time) {
	t.sequence(verify.Reliable, seqsOf(got), seqsOf(want), "%s gave %d events, want %d", who, len(got), len(want))
	for i, e := range got {
		w := want[i]
		if e.Seq != w.Seq || e.ID != w.ID || e.Topic != w.Topic || e.Type != w.Type || e.Key != w.Key || !maps.Equal(e.Meta, w.Meta) {
			t.fail(verify.Reliable, "%s gave event %d as %.200q, appended was %.200q", who, w.Seq, fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", w))
		}
		if !bytes.Equal(e.Data, w.Data) {
			t.fail(verify.Reliable, "%s gave event %d with %d bytes of data that differ from the %d appended, first at byte %d",
				who, w.Seq, len(e.Data), len(w.Data), firstDifference(e.Data, w.Data))
		}
		if e.Time.Before(began) || e.Time.After(ended) || !e.Time.Equal(e.Time.Truncate(time.Microsecond)) || e.Time.Location() != time.UTC {
			t.fail(verify.Reliable, "%s gave event %d with the time %v: want the time of its append, UTC, in whole microseconds", who, w.Seq, e.Time)
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func liveBurst(t *trial) {
	log := t.open()
	s := t.follow("live", log, cdc.Latest, nil)
	s.live()
	for _, n := range []int{1, 10, 300, 1200} {
		t.bulk(log, n)
	}
	t.fence(log, s)
	t.record(log)
}

func firstLive(t *trial) {
	for range 5 {
		log := t.open()
		r := t.rawAt(log)
		seqs := t.append(log, t.eventsN(2)...).Seqs
		r.commit(seqs...)
		r.until(seqs[1])
		s := t.follow("live from the beginning of an empty log", log, cdc.Beginning, quiet())
		s.live()
		s.until(t.append(log, t.event()).Seqs[0])
		s.until(t.append(log, t.event()).Seqs[0])
		_ = s.stop()
	}
}

func shortPages(t *trial) {
	log := t.open()
	t.bulk(log, 9)
	for _, most := range []int{1, 2, 4} {
		s := t.follow(fmt.Sprintf("pages of at most %d", most), shortPager{log.Log, most}, cdc.Beginning, &cdc.FollowOptions{PageSize: 5, Heartbeat: time.Hour})
		s.live()
		t.want(len(s.got()) == 9, "the log has 9 events, and a stream that gets at most %d a page was live after %s", most, eventsText(s.got()))
		_ = s.stop()
	}
}

// shortPager is a log with pages that are shorter than they could be, which is
// legal.
type shortPager struct {
	cdc.Log
	most int
}

func (l shortPager) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return l.Log.Read(ctx, after, min(limit, l.most))
}

func readFails(t *trial) {
	for k := 1; ; k++ {
		log := t.open()
		t.bulk(log, 7)
		failing := &failingReader{Log: log.Log, at: int64(k)}
		s := t.follow(fmt.Sprintf("read %d fails", k), failing, cdc.Beginning, quiet())
		s.await(verify.Reliable, func() bool { return s.err != nil || s.lives > 0 }, "the stream ends or turns live")
		if s.ended() {
			t.want(errors.Is(s.ends(), errRead), "a read failed, and the stream ended with %v", s.err)
		} else {
			t.want(len(s.got()) == 7, "a read failed, and the stream was live after %d of 7 events", len(s.got()))
		}
		_ = s.stop()
		if failing.reads.Load() < failing.at {
			return
		}
	}
}

var errRead = errors.New("the read failed")

type failingReader struct {
	cdc.Log
	reads atomic.Int64
	at    int64
}

func (l *failingReader) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if l.reads.Add(1) == l.at {
		return cdc.Page{}, errRead
	}
	return l.Log.Read(ctx, after, limit)
}

func holes(t *trial) {
	log := t.open()
	live := t.follow("live", log, cdc.Beginning, quiet())
	live.begun()
	for n := range 6 {
		t.fill(log, 1+n%2)
		tx := t.begin(log)
		tx.append(1 + n%3)
		tx.rollback()
	}
	want := seqsOf(t.record(log))
	epoch := t.bounds(log).Epoch
	for limit := 1; limit <= 4; limit++ {
		t.sequence(verify.Reliable, seqsOf(t.all(log, cdc.Cursor{Epoch: epoch}, limit)), want, "read in pages of %d", limit)
	}
	t.fence(log, live, t.follow("replay", log, cdc.Beginning, quiet()))
}

func storeFails(t *trial) {
	log := t.open()
	t.fill(log, 6)
	s := t.follow("over the failure", log, cdc.Latest, quiet())
	s.live()
	mend, err := t.h.Break(t.ctx, log.at, log.Log)
	if err != nil {
		t.broken("Break", err)
	}
	t.looked()
	page, err := log.Read(t.ctx, cdc.Cursor{Epoch: s.first.Epoch}, 100)
	t.trace.add("Read while the store is broken → %s", pageText(page, err))
	_, boundsErr := log.Bounds(t.ctx)
	t.trace.add("Bounds while the store is broken → %s", orOK(boundsErr))
	mend()
	if err == nil && boundsErr == nil {
		t.useless("Break", "Read and Bounds still answer")
	}
	if err == nil && len(page.Events) < 6 && (page.Next == 0 || page.Next >= 6) { // a part from memory is legal
		t.fail(verify.Reliable, "while the store could not be read, Read returned %s and no error: that says the log ends there", pageText(page, err))
	}
	seq := t.append(log, t.event()).Seqs[0]
	s.await(verify.Reliable, func() bool { return s.err != nil || lastSeq(s.events) >= seq }, "the stream ends with an error or delivers %d", seq)
	if _, reset := errors.AsType[*cdc.ResetError](s.failure()); reset {
		t.fail(verify.Reliable, "a store that failed for a moment reset the stream: %v", s.err)
	}
}
