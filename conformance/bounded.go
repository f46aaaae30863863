package conformance

import (
	"errors"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func boundedCases() []Case {
	g := verify.Bounded
	return []Case{
		{Guarantee: g, Situation: "DeadReader", Sentence: "a subscription that nobody reads delays neither appends nor other streams, and gets everything or ErrLagged when it reads again", run: deadReader},
		{Guarantee: g, Situation: "OneLags", Sentence: "when one subscription lags, the others are not touched", run: oneLags},
		{Guarantee: g, Situation: "Goroutines", Sentence: "events for a reader that does not read cost no goroutines", run: noGoroutines},
		{Guarantee: g, Situation: "SlowStream", Sentence: "a stream whose consumer stands still misses nothing when it goes on", run: slowStream},
		{Guarantee: g, Situation: "SlowAndTrimmed", Sentence: "a stream that is overtaken by a trim ends with truncated or delivers everything: it does not jump", run: slowAndTrimmed},
		{Guarantee: g, Situation: "SlowOverHub", Sentence: "the same for a stream over a Hub with a small tail, while others go on", run: slowOverHub},
		{Guarantee: g, Situation: "FarAboveAnyBuffer", Sentence: "a subscription that nobody reads while 12,000 events are appended returns all of them, or ErrLagged and nothing that comes after the hole", run: farAboveAnyBuffer},
		{Guarantee: g, Situation: "DeadCosts", Sentence: "a subscription that nobody reads holds a bounded part of 20 MB of events", run: deadCosts},
	}
}

func deadReader(t *test) {
	log := t.open()
	dead := t.RawAtHead(log)
	s := t.Follow("a good reader", log, cdc.Latest(), nil)
	s.AwaitLive()
	var seqs []uint64
	for range 2 * floodSize / 100 {
		t.InTime(verify.Bounded, "appending 100 events beside a reader that does not read", func() {
			r, err := t.TryAppend(log, t.Events(100)...)
			if err != nil {
				t.NoteAppendFailed(err)
			}
			seqs = append(seqs, r.Seqs...)
		})
		if t.Failed() {
			return
		}
	}
	t.Fence(log, s)
	dead.Committed(seqs...)
	dead.Until(lastOf(seqs))
	t.Record(log)
}

func oneLags(t *test) {
	log := t.open()
	slow, good := t.RawAtHead(log), t.RawAtHead(log)
	for range 2 {
		for range floodSize / 50 {
			seqs := t.Append(log, t.Events(50)...).Seqs
			slow.Committed(seqs...)
			good.Committed(seqs...)
			good.Until(lastOf(seqs))
		}
		seq := t.Append(log, t.Event()).Seqs[0]
		slow.Committed(seq)
		slow.Until(seq)
		good.Until(seq)
	}
	t.Want(good.Lags == 0 || slow.Lags > 0, "the reader that kept up lagged %d times", good.Lags)
}

func noGoroutines(t *test) {
	log := t.open()
	t.Subscribe(log)
	t.Fill(log, 3)
	n := t.Goroutines()
	for range 120 {
		t.Fill(log, 1)
	}
	// Goroutines that have done their work may not have left yet. Those that
	// wait for the reader never do.
	var after int
	trial.Within(t.Settings.Patience/2, func() bool {
		after = t.Goroutines()
		return after < n+60
	})
	t.Want(after < n+60, "120 events for a reader that does not read made %d goroutines of %d", after, n)
}

func slowStream(t *test) {
	log := t.open()
	t.Fill(log, 4)
	s := t.Follow("slow", log, cdc.Latest(), &cdc.FollowOptions{PageSize: 50})
	s.AwaitLive()
	for range 3 {
		resume := s.Hold()
		t.FillFast(log, floodSize)
		resume()
		t.Fence(log, s)
	}
	t.Record(log)
}

func slowAndTrimmed(t *test) {
	log := t.open()
	t.overtaken(log, log.Log, func() {})
}

func slowOverHub(t *test) {
	log := t.open()
	hub := t.h.hub(log.Log)
	defer func() { _ = hub.Close() }()
	other := t.Follow("another over the Hub", hub, cdc.Latest(), nil)
	other.AwaitLive()
	t.overtaken(log, hub, func() { t.Fence(log, other) })
	t.Fence(log, other)
	_ = other.Stop()
	t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}

// overtaken trims past a stream that stands still; settle comes before the trim.
func (t *test) overtaken(log handle, over cdc.Log, settle func()) {
	t.Fill(log, 4)
	s := t.Follow("slow", over, cdc.Latest(), &cdc.FollowOptions{PageSize: 20})
	s.AwaitLive()
	resume := s.Hold()
	before := s.Progress().Batches
	seqs := t.FillFast(log, floodSize)
	s.Await(verify.Live, func(p trial.Progress) bool { return p.Batches > before }, "a batch after the append")
	settle()
	t.trim(log, seqs[floodSize-10])
	resume()
	marker := t.Append(log, t.Event()).Seqs[0]
	s.Await(verify.Bounded, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= marker }, "the stream ends or delivers %d", marker)
	if s.Ended() {
		if !errors.Is(s.Err(), cdc.ErrClosed) {
			_ = t.resetOf(true, s.AwaitEnd(), log, "a stream that was overtaken by a trim", cdc.ReasonTruncated)
		}
	}
}
