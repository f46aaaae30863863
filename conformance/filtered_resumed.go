package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// thirds are filters of which each matches a third of what a trial appends.
func thirds() []cdc.Filter {
	return []cdc.Filter{{Topics: []string{"topic0"}}, {Topics: []string{"topic1", "none"}}, {Topics: []string{"topic2"}, Types: []string{"type0", "type1", "type2", "type3"}}}
}

func filteredTruncated(t *test) {
	log := t.open()
	seqs := t.Fill(log, 12)
	epoch := t.Bounds(log).Epoch
	all := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	for _, trim := range []int{0, 3, 4, 9} { // index of the last event that goes
		t.trim(log, seqs[trim])
		for _, f := range append(thirds(), cdc.Filter{Topics: []string{"none"}}) {
			for i := range len(all) + 1 {
				c := cdc.Cursor{Epoch: epoch}
				if i > 0 {
					c = all[i-1].Cursor(epoch)
				}
				t.filteredAfterTrim(log, c, f, trial.SeqsOf(f.Select(all[i:])), c.Seq < seqs[trim])
			}
		}
	}
	o := trial.Quiet()
	o.Filter = thirds()[0]
	t.isReset(t.Follow("filtered from below the floor", log, cdc.After(all[0].Cursor(epoch)), o).AwaitEnd(), log, "a filtered stream from below the floor", cdc.ReasonTruncated)
}

func (t *test) filteredAfterTrim(log handle, c cdc.Cursor, f cdc.Filter, want []uint64, below bool) {
	page, err := t.tryFiltered(log, c, 100, f)
	switch reset, ok := errors.AsType[*cdc.ResetError](err); {
	case ok && below:
		t.isReset(reset, log, fmt.Sprintf("reading after %s with a filter, below the floor", trial.CursorText(c)), cdc.ReasonTruncated)
	case err != nil:
		t.Fail(verify.Resumable, "reading after %s with a filter, at or above the floor, is an error: %v", trial.CursorText(c), err)
	default: // a cache may still have what was trimmed: then it has all of it up to Next
		got := trial.SeqsOf(page.Events)
		want = slices.DeleteFunc(slices.Clone(want), func(seq uint64) bool { return seq > page.Next })
		if !slices.Equal(got, want) {
			t.Fail(verify.Resumable, "reading after %s with filter %v: expected %v or a reset, seen %v up to %d", trial.CursorText(c), f, want, got, page.Next)
		}
	}
}

func filteredForeign(t *test) {
	log := t.open()
	seqs := t.Fill(log, 3)
	for _, f := range thirds() {
		for _, seq := range append(seqs, 0, 1000) {
			c := cdc.Cursor{Epoch: "another-epoch", Seq: seq}
			_, err := t.tryFiltered(log, c, 10, f)
			t.isReset(err, log, "reading with a filter and another epoch", cdc.ReasonForeign)
		}
	}
}

func filteredDiverged(t *test) {
	log := t.open()
	t.Fill(log, 5)
	epoch := t.Bounds(log).Epoch
	events := t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100)
	for _, f := range thirds() {
		for i, e := range events {
			c := cdc.Cursor{Epoch: epoch, Seq: e.Seq, Tag: events[(i+1)%len(events)].Tag()}
			_, err := t.tryFiltered(log, c, 10, f)
			t.isReset(err, log, fmt.Sprintf("reading after %d with a filter and the tag of another event", e.Seq), cdc.ReasonDiverged)
			if _, err := t.tryFiltered(log, e.Cursor(epoch), 10, f); err != nil {
				t.Fail(verify.Resumable, "reading after %d with a filter and its own tag is an error: %v", e.Seq, err)
			}
		}
	}
}

func filteredFuture(t *test) {
	log := t.open()
	for n := range 3 {
		b := t.Bounds(log)
		for _, f := range thirds() {
			for _, above := range []uint64{1, 2, 1000, 1 << 40} {
				_, err := t.tryFiltered(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Last + above}, 10, f)
				t.isReset(err, log, fmt.Sprintf("reading with a filter %d above the last event", above), cdc.ReasonFuture)
			}
			if _, err := t.tryFiltered(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Last}, 10, f); err != nil {
				t.Fail(verify.Resumable, "reading with a filter after the last event is an error: %v", err)
			}
		}
		t.Fill(log, n+1)
	}
}

// filteredRewound lets streams replay to a head that their filter leaves out,
// so that only the tag of that event shows that the log went back.
func filteredRewound(t *test) {
	for _, growth := range [][]int{{5}, {1, 1, 1, 1, 1}, {3}} {
		h := t.histories(6)
		last := t.ReadAll(h.log, cdc.Cursor{Epoch: t.Bounds(h.log).Epoch}, 100)[5]
		var streams []*trial.Stream
		for _, f := range thirds() {
			if f.Match(last) {
				continue
			}
			o := trial.Quiet()
			o.Filter = f
			s := t.Follow(fmt.Sprintf("topics %v, then appends of %v", f.Topics, growth), h.log, cdc.Beginning(), o)
			s.AwaitLive()
			streams = append(streams, s)
		}
		h.goBack(growth...)
		h.happened()
		h.append(1, 1, 1) // of every topic
		for _, s := range streams {
			_ = t.resetOf(true, s.AwaitEnd(), h.log, "a filtered stream that had read what the log lost", rewoundReasons...)
		}
	}
}

func filteredTrimUnderStream(t *test) {
	t.everyCall(func(k ...int) bool {
		log := t.open()
		t.Fill(log, 9)
		all := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)
		f := thirds()[1]
		p, tapped := t.tapped(log)
		var trimmed atomic.Bool
		p.Before(k[0], func() {
			_, err := t.h.trim(t.Ctx, log.Log, all[5].Seq)
			if err != nil {
				t.NoteStoreFailed("Trim", err)
			}
			trimmed.Store(err == nil)
		})
		o := &cdc.FollowOptions{Filter: f, PageSize: 1, Heartbeat: trial.Quiet().Heartbeat}
		s := t.Follow(fmt.Sprintf("trim before call %d", k[0]), tapped, cdc.After(cdc.Cursor{Seq: all[0].Seq}), o)
		s.Await(verify.Live, func(p trial.Progress) bool { return p.Err != nil || p.Lives > 0 }, "the stream turns live or ends")
		want := trial.SeqsOf(f.Select(all[1:]))
		t.everyMatch(log, s, want)
		made := p.Fired()
		_ = s.Stop()
		if trimmed.Load() {
			t.wasTrimmed(log, all[5].Seq)
		}
		return made
	})
}

// everyMatch checks a stream that was trimmed under: it has delivered the
// matches without a hole, all of them unless it was reset.
func (t *test) everyMatch(log handle, s *trial.Stream, want []uint64) {
	got := trial.SeqsOf(s.Events())
	if s.Ended() {
		_ = t.resetOf(true, s.AwaitEnd(), log, "a filtered stream that was overtaken by a trim", cdc.ReasonTruncated)
		want = want[:min(len(got), len(want))]
	}
	t.SameSeqs(verify.Reliable, got, want, "a filtered stream beside a trim")
}

func filteredSlowAndTrimmed(t *test) {
	log := t.open()
	t.Fill(log, 4)
	f := thirds()[1]
	s := t.Follow("slow", log, cdc.Latest(), &cdc.FollowOptions{Filter: f, PageSize: 20})
	s.AwaitLive()
	resume := s.Hold()
	before := s.Progress().Batches
	seqs := t.FillFast(log, floodSize)
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Batches > before }, "a batch after the append")
	all := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch, Seq: seqs[0] - 1}, 1000)
	t.trim(log, seqs[floodSize-10])
	resume()
	markers := t.Events(3)
	marked := t.Append(log, markers...).Seqs
	last := uint64(0)
	for i, e := range markers {
		if f.Match(e) {
			last = marked[i]
		}
	}
	s.Await(verify.Bounded, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= last }, "the stream ends or delivers %d", last)
	want := append(trial.SeqsOf(f.Select(all)), last)
	t.everyMatch(log, s, want)
}
