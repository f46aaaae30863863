package conformance

import (
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
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
	}
}

func deadReader(t *trial) {
	log := t.open()
	dead := t.rawAt(log)
	s := t.follow("a good reader", log, cdc.Latest, nil)
	s.live()
	var seqs []uint64
	t.finite(verify.Bounded, fmt.Sprintf("appending %d events beside a reader that does not read", 2*floodSize), func() {
		for range 2 * floodSize / 100 {
			r, err := t.tryAppend(log, t.eventsN(100)...)
			if err != nil {
				t.appendFailed(err)
				return
			}
			seqs = append(seqs, r.Seqs...)
		}
	})
	if t.failed() {
		return
	}
	t.fence(log, s)
	dead.commit(seqs...)
	dead.until(lastOf(seqs))
	t.record(log)
}

func oneLags(t *trial) {
	log := t.open()
	slow, good := t.rawAt(log), t.rawAt(log)
	for range 2 {
		for range floodSize / 50 {
			seqs := t.append(log, t.eventsN(50)...).Seqs
			slow.commit(seqs...)
			good.commit(seqs...)
			good.until(lastOf(seqs))
		}
		seq := t.append(log, t.event()).Seqs[0]
		slow.commit(seq)
		slow.until(seq)
		good.until(seq)
	}
	t.want(good.lags == 0 || slow.lags > 0, "the reader that kept up lagged %d times", good.lags)
}

func noGoroutines(t *trial) {
	log := t.open()
	t.subscribe(log)
	t.fill(log, 3)
	n := countGoroutines(t.label)
	for range 120 {
		t.fill(log, 1)
	}
	// Goroutines that have done their work may not have left yet. Those that
	// wait for the reader never do.
	var after int
	eventually(t.opts.Patience/2, func() bool {
		after = countGoroutines(t.label)
		return after < n+60
	})
	t.want(after < n+60, "120 events for a reader that does not read made %d goroutines of %d", after, n)
}

func slowStream(t *trial) {
	log := t.open()
	t.fill(log, 4)
	s := t.follow("slow", log, cdc.Latest, &cdc.FollowOptions{PageSize: 50})
	s.live()
	for range 3 {
		resume := s.hold()
		t.bulk(log, floodSize)
		resume()
		t.fence(log, s)
	}
	t.record(log)
}

// count returns the number of batches so far.
func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// hold makes the consumer of the stream stand still after its next batch.
func (s *stream) hold() (resume func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = gate
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pause = nil
		close(gate)
	}
}

func slowAndTrimmed(t *trial) {
	log := t.open()
	t.overtaken(log, log.Log, func() {})
}

func slowOverHub(t *trial) {
	log := t.open()
	hub := t.h.hub(log.Log)
	defer func() { _ = hub.Close() }()
	other := t.follow("another over the Hub", hub, cdc.Latest, nil)
	other.live()
	t.overtaken(log, hub, func() { t.fence(log, other) })
	t.fence(log, other)
	_ = other.stop()
	t.finite(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
}

// overtaken trims past a stream that stands still; settle comes before the trim.
func (t *trial) overtaken(log handle, over cdc.Log, settle func()) {
	t.fill(log, 4)
	s := t.follow("slow", over, cdc.Latest, &cdc.FollowOptions{PageSize: 20})
	s.live()
	resume := s.hold()
	before := s.count()
	seqs := t.bulk(log, floodSize)
	s.await(verify.Live, func() bool { return s.batches > before }, "a batch after the append")
	settle()
	t.trim(log, seqs[floodSize-10])
	resume()
	marker := t.append(log, t.event()).Seqs[0]
	s.await(verify.Bounded, func() bool { return s.err != nil || lastSeq(s.events) >= marker }, "the stream ends or delivers %d", marker)
	if s.ended() {
		if !errors.Is(s.failure(), cdc.ErrClosed) {
			_ = t.resetOf(true, s.ends(), log, "a stream that was overtaken by a trim", cdc.ReasonTruncated)
		}
	}
}
