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
	"github.com/gapless-go/gapless/conformance/internal/trial"
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
		Case{Guarantee: g, Situation: "EventFails", Sentence: "a read that fails at any event is an error: it neither ends the log there nor skips the event", needs: []need{needBreakEvent}, run: eventFails},
		Case{Guarantee: g, Situation: "Assigned", Sentence: "seq and time are the log's: those of the arguments are ignored", run: assigned},
		Case{Guarantee: g, Situation: "NoData", Sentence: "no data and empty data are read as no bytes, no metadata and empty metadata as none", run: noData},
		Case{Guarantee: g, Situation: "Drawn", Sentence: "operations drawn from the seed: appends, transactions, trims, lags, breaks, and streams that begin, stand still and go on; each delivers exactly the log", run: drawnScripts},
	)
}

func everyCursorEveryLimit(n int) func(*test) {
	return func(t *test) {
		log := t.open()
		seqs := t.Fill(log, n)
		b := t.Bounds(log)
		t.Want(b.Head >= lastOf(seqs), "the head is %d after event %d was acknowledged", b.Head, lastOf(seqs))
		for i := range n + 1 {
			after := cdc.Cursor{Epoch: b.Epoch}
			if i > 0 {
				after.Seq = seqs[i-1]
			}
			for limit := 1; limit <= n+1; limit++ {
				t.SameSeqs(verify.Reliable, trial.SeqsOf(t.ReadAll(log, after, limit)), seqs[i:], "read after %d in pages of %d", after.Seq, limit)
			}
		}
		t.Record(log)
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
func readAgain(t *test) {
	log := t.open()
	done := t.Go(func() { t.Write(log, 4, 15) })
	epoch := t.Bounds(log).Epoch
	pos := cdc.Cursor{Epoch: epoch}
	s := t.History.Stream("polling")
	s.Begin(pos)
	for polls := 0; ; polls++ {
		ended := false
		select {
		case <-done:
			ended = true
		default:
		}
		trial.Breathe()
		page := t.Read(log, pos, 3)
		for _, e := range page.Events {
			s.Add(e.Seq, verify.RecordOf(e))
		}
		pos.Seq = page.Next
		s.Add(pos.Seq)
		if ended && len(page.Events) == 0 {
			break
		}
	}
	t.Record(log)
}

func nextIsCovered(t *test) {
	log := t.open()
	pos := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	for n := range 24 {
		seqs := t.Append(log, t.Events(1+n%3)...).Seqs
		for {
			page := t.Read(log, pos, 2)
			if page.Next == pos.Seq {
				break
			}
			if head := t.Bounds(log).Head; page.Next > head {
				t.Fail(verify.Reliable, "a page after %d has Next %d above the head %d: an event between them would never be read", pos.Seq, page.Next, head)
			}
			pos.Seq = page.Next
		}
		if pos.Seq < lastOf(seqs) {
			t.Fail(verify.Reliable, "event %d was acknowledged, but reading ended at %d", lastOf(seqs), pos.Seq)
		}
	}
	t.Record(log)
}

func filteredReads(t *test) {
	log := t.open()
	t.Fill(log, 24)
	epoch := t.Bounds(log).Epoch
	all := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 1000)
	for _, f := range []cdc.Filter{
		{Types: []string{"type1"}},
		{Topics: []string{"topic*"}, Keys: []string{"key0", "key3"}},
		{Types: []string{"none"}},
		{Keys: []string{all[len(all)-1].Key}, Types: []string{all[len(all)-1].Type}},
	} {
		for i := 0; i < len(all); i += 5 {
			want := trial.SeqsOf(f.Select(all[i:]))
			after := cdc.Cursor{Epoch: epoch, Seq: all[i].Seq - 1}
			for _, limit := range []int{1, 2, 3, 8, 100} {
				got := t.filtered(log, after, limit, f)
				if !slices.Equal(got, want) {
					t.Fail(verify.Reliable, "filter %+v after %d in pages of %d: expected %v, seen %v", f, after.Seq, limit, want, got)
				}
			}
		}
		s := t.Follow(fmt.Sprintf("filter %v", f), log, cdc.Beginning(), &cdc.FollowOptions{Filter: f, PageSize: 3})
		s.AwaitLive()
		s.AwaitCursor(t.Bounds(log).Head)
		t.Want(slices.Equal(trial.SeqsOf(s.Events()), trial.SeqsOf(f.Select(all))), "a stream with filter %+v delivered %v, want %v", f, trial.SeqsOf(s.Events()), trial.SeqsOf(f.Select(all)))
		_ = s.Stop()
	}
}

func (t *test) filtered(log handle, after cdc.Cursor, limit int, f cdc.Filter) []uint64 {
	var got []uint64
	for range 1000 {
		page, err := cdc.ReadFiltered(t.Ctx, log.Log, after, limit, f)
		t.Trace("ReadFiltered after %s limit %d → %s", trial.CursorText(after), limit, trial.PageText(page, err))
		t.Checked()
		if err != nil {
			t.StoreFailed("ReadFiltered", err)
		}
		if problem := verify.CheckPage(page, after, limit); problem != "" {
			t.Fail(verify.Reliable, "ReadFiltered after %d, limit %d: %s", after.Seq, limit, problem)
		}
		if page.Next == after.Seq {
			return got
		}
		got = append(got, trial.SeqsOf(page.Events)...)
		after.Seq = page.Next
	}
	t.Fail(verify.Reliable, "reading with filter %+v does not come to an end", f)
	return nil
}

func largeEvents(t *test) {
	log := t.open()
	var want []uint64
	for range 6 {
		e := t.Event()
		e.Data = bytes.Repeat([]byte("x"), 400_000)
		want = append(want, t.Append(log, e).Seqs...)
	}
	want = append(want, t.Fill(log, 3)...)
	epoch := t.Bounds(log).Epoch
	for _, limit := range []int{1, 2, 4, 1000} {
		t.SameSeqs(verify.Reliable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, limit)), want, "large events read in pages of %d", limit)
	}
	s := t.Follow("large events", log, cdc.Beginning(), nil)
	t.Fence(log, s)
}

func exactBytes(t *test) {
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
	live := t.Follow("live", tapped, cdc.Beginning(), nil)
	live.AwaitFirst()
	began := time.Now().Add(-2 * time.Second)
	for i := range events {
		time.Sleep(1_234_567) // so that virtual times are not whole milliseconds
		events[i].Seq = t.Append(log, events[i].Clone()).Seqs[0]
	}
	ended := time.Now().Add(2 * time.Second)
	live.AwaitEvent(events[len(events)-1].Seq)
	read := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 3)
	t.sameEvents("Read", read, events, began, ended)
	t.sameEvents("the stream", live.Events(), events, began, ended)
	for i, e := range live.Events() {
		t.Want(e.Time.Equal(read[i].Time), "the stream gave event %d with the time %v, Read with %v: one of the cursors made from them is refused as diverged", e.Seq, e.Time, read[i].Time)
	}
}

func (t *test) sameEvents(who string, got, want []cdc.Event, began, ended time.Time) {
	t.SameSeqs(verify.Reliable, trial.SeqsOf(got), trial.SeqsOf(want), "%s gave %d events, want %d", who, len(got), len(want))
	for i, e := range got {
		w := want[i]
		if e.Seq != w.Seq || e.ID != w.ID || e.Topic != w.Topic || e.Type != w.Type || e.Key != w.Key || !maps.Equal(e.Meta, w.Meta) {
			t.Fail(verify.Reliable, "%s gave event %d as %.200q, appended was %.200q", who, w.Seq, fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", w))
		}
		if !bytes.Equal(e.Data, w.Data) {
			t.Fail(verify.Reliable, "%s gave event %d with %d bytes of data that differ from the %d appended, first at byte %d",
				who, w.Seq, len(e.Data), len(w.Data), firstDifference(e.Data, w.Data))
		}
		if e.Time.Before(began) || e.Time.After(ended) || !e.Time.Equal(e.Time.Truncate(time.Microsecond)) || e.Time.Location() != time.UTC {
			t.Fail(verify.Reliable, "%s gave event %d with the time %v: want the time of its append, UTC, in whole microseconds", who, w.Seq, e.Time)
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

func liveBurst(t *test) {
	log := t.open()
	s := t.Follow("live", log, cdc.Latest(), nil)
	s.AwaitLive()
	for _, n := range []int{1, 10, 300, 1200} {
		t.FillFast(log, n)
	}
	t.Fence(log, s)
	t.Record(log)
}

func firstLive(t *test) {
	for range 5 {
		log := t.open()
		r := t.RawAtHead(log)
		seqs := t.Append(log, t.Events(2)...).Seqs
		r.Committed(seqs...)
		r.Until(seqs[1])
		s := t.Follow("live from the beginning of an empty log", log, cdc.Beginning(), trial.Quiet())
		s.AwaitLive()
		s.AwaitEvent(t.Append(log, t.Event()).Seqs[0])
		s.AwaitEvent(t.Append(log, t.Event()).Seqs[0])
		_ = s.Stop()
	}
}

func shortPages(t *test) {
	log := t.open()
	t.FillFast(log, 9)
	for _, most := range []int{1, 2, 4} {
		s := t.Follow(fmt.Sprintf("pages of at most %d", most), shortPager{log.Log, most}, cdc.Beginning(), &cdc.FollowOptions{PageSize: 5, Heartbeat: time.Hour})
		s.AwaitLive()
		t.Want(len(s.Events()) == 9, "the log has 9 events, and a stream that gets at most %d a page was live after %s", most, trial.EventsText(s.Events()))
		_ = s.Stop()
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

func readFails(t *test) {
	for k := 1; ; k++ {
		log := t.open()
		t.FillFast(log, 7)
		failing := &failingReader{Log: log.Log, at: int64(k)}
		s := t.Follow(fmt.Sprintf("read %d fails", k), failing, cdc.Beginning(), trial.Quiet())
		s.Await(verify.Reliable, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream ends or turns live")
		if s.Ended() {
			t.Want(errors.Is(s.AwaitEnd(), errRead), "a read failed, and the stream ended with %v", s.Err())
		} else {
			t.Want(len(s.Events()) == 7, "a read failed, and the stream was live after %d of 7 events", len(s.Events()))
		}
		_ = s.Stop()
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

func holes(t *test) {
	log := t.open()
	live := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	live.AwaitFirst()
	for n := range 6 {
		t.Fill(log, 1+n%2)
		tx := t.Begin(log)
		tx.Append(1 + n%3)
		tx.Rollback()
	}
	want := trial.SeqsOf(t.Record(log))
	epoch := t.Bounds(log).Epoch
	for limit := 1; limit <= 4; limit++ {
		t.SameSeqs(verify.Reliable, trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, limit)), want, "read in pages of %d", limit)
	}
	t.Fence(log, live, t.Follow("replay", log, cdc.Beginning(), trial.Quiet()))
}

func storeFails(t *test) {
	log := t.open()
	t.Fill(log, 6)
	s := t.Follow("over the failure", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	before := t.Bounds(log)
	mend, err := t.h.Break(t.Ctx, log.at, log.Log)
	if err != nil {
		t.StoreFailed("Break", err)
	}
	t.Checked()
	page, err := log.Read(t.Ctx, cdc.Cursor{Epoch: s.First().Epoch}, 100)
	t.Trace("Read while the store is broken → %s", trial.PageText(page, err))
	b, boundsErr := log.Bounds(t.Ctx)
	t.Trace("Bounds while the store is broken → %s", trial.ErrText(boundsErr))
	mend()
	if err == nil && boundsErr == nil {
		t.DidNothing("Break", "Read and Bounds still answer")
	}
	if err == nil && len(page.Events) < 6 && (page.Next == 0 || page.Next >= 6) { // a part from memory is legal
		t.Fail(verify.Reliable, "while the store could not be read, Read returned %s and no error: that says the log ends there", trial.PageText(page, err))
	}
	t.Want(boundsErr != nil || b.Head >= before.Head && b.Last >= before.Last && b.Epoch == before.Epoch, "while the store could not be read, Bounds returned %+v and no error: they were %+v", b, before)
	seq := t.Append(log, t.Event()).Seqs[0]
	s.Await(verify.Reliable, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= seq }, "the stream ends with an error or delivers %d", seq)
	if _, reset := errors.AsType[*cdc.ResetError](s.Err()); reset {
		t.Fail(verify.Reliable, "a store that failed for a moment reset the stream: %v", s.Err())
	}
}
