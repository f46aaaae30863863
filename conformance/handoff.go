package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func handoffCases() []Case {
	g := verify.Handoff
	return []Case{
		{Guarantee: g, Situation: "FirstReplay/latest", Sentence: "one event is committed before the k-th call of a stream from the latest event, for every k", run: firstReplay(fromLatest, false)},
		{Guarantee: g, Situation: "FirstReplay/beginning", Sentence: "the same from the beginning", run: firstReplay(fromBeginning, false)},
		{Guarantee: g, Situation: "FirstReplay/cursor", Sentence: "the same from a cursor", run: firstReplay(fromCursor, false)},
		{Guarantee: g, Situation: "FirstReplayPairs/latest", Sentence: "one event is committed before the i-th call and one before the k-th, for every pair", run: firstReplay(fromLatest, true)},
		{Guarantee: g, Situation: "FirstReplayPairs/beginning", Sentence: "the same from the beginning", run: firstReplay(fromMovedBeginning, true)},
		{Guarantee: g, Situation: "FirstReplayPairs/cursor", Sentence: "the same from a cursor", run: firstReplay(fromCursor, true)},
		{Guarantee: g, Situation: "AfterLag", Sentence: "a subscription lags and one event is committed before the k-th call of the replay that follows, for every k", run: laterReplay(false, (*trial.Tap).ForceLag)},
		{Guarantee: g, Situation: "AfterLagPairs", Sentence: "the same for every pair of calls", run: laterReplay(true, (*trial.Tap).ForceLag)},
		{Guarantee: g, Situation: "AfterBreak", Sentence: "a subscription breaks and one event is committed before the k-th call of its renewal, for every k", run: laterReplay(false, forceBreak)},
		{Guarantee: g, Situation: "AfterBreakPairs", Sentence: "the same for every pair of calls", run: laterReplay(true, forceBreak)},
		{Guarantee: g, Situation: "UnderHub/first", Sentence: "one event is committed before the k-th call that a Hub makes for its first stream, for every k", run: underHubFirst},
		{Guarantee: g, Situation: "UnderHub/lag", Sentence: "the Hub's own subscription lags and one event is committed before the k-th call that follows, for every k", run: underHubLater((*trial.Tap).ForceLag)},
		{Guarantee: g, Situation: "UnderHub/break", Sentence: "the Hub's own subscription breaks and one event is committed before the k-th call that follows, for every k", run: underHubLater(forceBreak)},
		{Guarantee: g, Situation: "UnderHub/idle", Sentence: "an event that is committed when a Hub's Subscribe has returned ends the first Next, though nobody has read through the Hub", run: underHubIdle},
		{Guarantee: g, Situation: "TakesEffect", Sentence: "an event that is committed when Subscribe has returned ends the first Next", run: takesEffect},
	}
}

// maxCalls is more calls than a handoff of a few events can need.
const maxCalls = 60

// everyCall calls run with 1, 2, … until the call with that number was not
// made any more.
func (t *test) everyCall(run func(k ...int) (made bool)) {
	for k := 1; run(k); k++ {
		if k == maxCalls {
			t.Fail(verify.Contained, "the reader still makes calls after %d: it does not come to rest", maxCalls)
		}
	}
}

// everyPair calls run with every pair i < k of calls that are made.
func (t *test) everyPair(run func(k ...int) (made bool)) {
	for i := 1; ; i++ {
		k := i + 1
		for run(i, k) {
			if k++; k > maxCalls {
				t.Fail(verify.Contained, "the reader still makes calls after %d: it does not come to rest", maxCalls)
			}
		}
		if k == i+1 {
			return
		}
	}
}

// startAt makes a log with history and a start in it.
type startAt func(t *test, known *handle) (log handle, start cdc.Start)

func fromLatest(t *test, known *handle) (handle, cdc.Start) {
	if known.Log == nil {
		*known = t.open()
		t.Fill(*known, 3)
	}
	return *known, cdc.Latest()
}

func fromCursor(t *test, known *handle) (handle, cdc.Start) {
	if known.Log == nil {
		*known = t.open()
		t.Fill(*known, 2)
	}
	c := t.Append(*known, t.Event()).Cursor()
	t.Fill(*known, 3)
	return *known, cdc.After(c)
}

func fromBeginning(t *test, _ *handle) (handle, cdc.Start) {
	h := t.open()
	t.Fill(h, 3)
	return h, cdc.Beginning()
}

// fromMovedBeginning trims a log to its head rather than to make another, as
// far as it can: making one is slow in some stores, and there are many pairs.
func fromMovedBeginning(t *test, known *handle) (handle, cdc.Start) {
	if known.Log != nil {
		if _, err := t.h.trim(t.Ctx, known.Log, t.Bounds(*known).Head); err == nil {
			t.Fill(*known, 3)
			return *known, cdc.Beginning()
		}
	}
	log, start := fromBeginning(t, known)
	*known = log
	return log, start
}

func firstReplay(at startAt, pairs bool) func(*test) {
	return func(t *test) {
		var known handle
		run := func(k ...int) bool {
			log, start := at(t, &known)
			p, tapped := t.tapped(log)
			commits := t.commitsAt(p, log, k)
			s := t.Follow(fmt.Sprintf("commit before call %v", k), tapped, start, trial.Quiet())
			s.AwaitLive()
			commits.arrive(s)
			t.Fence(log, s)
			made := p.Fired()
			_ = s.Stop()
			return made
		}
		if pairs {
			t.everyPair(run)
		} else {
			t.everyCall(run)
		}
	}
}

// interposed are the commits that a tap makes before calls.
type interposed struct {
	mu   sync.Mutex
	seqs []uint64
}

// commitsAt plans a commit before each of the calls, counted from now.
func (t *test) commitsAt(p *trial.Tap, log cdc.Log, calls []int) *interposed {
	t.Trace("-- a commit before call %v", calls)
	c := &interposed{}
	for _, k := range calls {
		p.Before(k, func() {
			r, err := t.TryAppend(log, t.Event())
			if err != nil {
				t.NoteAppendFailed(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.seqs = append(c.seqs, r.Seqs...)
		})
	}
	return c
}

// arrive waits for what was committed so far, with no other commit after it.
func (c *interposed) arrive(s *trial.Stream) {
	c.mu.Lock()
	seqs := slices.Clone(c.seqs)
	c.mu.Unlock()
	for _, seq := range seqs {
		if seq > s.First().Seq {
			s.AwaitEvent(seq)
		}
	}
}

func forceBreak(p *trial.Tap) { p.ForceEnd(errors.New("the connection was lost")) }

func laterReplay(pairs bool, force func(*trial.Tap)) func(*test) {
	return func(t *test) {
		log := t.open()
		t.Fill(log, 3)
		p, tapped := t.tapped(log)
		s := t.Follow("live", tapped, cdc.Latest(), trial.Quiet())
		s.AwaitLive()
		t.Fence(log, s)
		run := func(k ...int) bool {
			t.Eventually(verify.Live, p.Waiting, "the reader waits in Next")
			p.Clear()
			force(p)
			commits := t.commitsAt(p, log, k)
			seq := t.Append(log, t.Event()).Seqs[0]
			t.Wait(verify.Live, p.Forced(), "the Next that a commit has to end")
			s.AwaitEvent(seq) // with no other commit after it
			commits.arrive(s)
			t.Fence(log, s)
			return p.Fired()
		}
		if pairs {
			t.everyPair(run)
		} else {
			t.everyCall(run)
		}
		_ = s.Stop()
	}
}

func underHubFirst(t *test) {
	var known handle
	t.everyCall(func(k ...int) bool {
		log, start := fromCursor(t, &known)
		p, tapped := t.tapped(log)
		commits := t.commitsAt(p, log, k)
		hub := t.h.hub(tapped)
		s := t.Follow(fmt.Sprintf("over a Hub, commit before call %v", k), hub, start, trial.Quiet())
		s.AwaitLive()
		commits.arrive(s)
		t.Fence(log, s)
		made := p.Fired()
		_ = s.Stop()
		t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
		return made
	})
}

func underHubLater(force func(*trial.Tap)) func(*test) {
	return func(t *test) {
		log := t.open()
		t.Fill(log, 3)
		p, tapped := t.tapped(log)
		hub := t.h.hub(tapped)
		defer func() { _ = hub.Close() }()
		a := t.Follow("a over a Hub", hub, cdc.Latest(), trial.Quiet())
		a.AwaitLive()
		t.Fence(log, a)
		t.everyCall(func(k ...int) bool {
			t.Eventually(verify.Live, p.Waiting, "the Hub waits in Next")
			time.Sleep(time.Millisecond) // so that a, which the last commit may still wake, waits too
			p.Clear()
			force(p)
			commits := t.commitsAt(p, log, k)
			seq := t.Append(log, t.Event()).Seqs[0]
			t.Wait(verify.Live, p.Forced(), "the Next that a commit has to end")
			a.AwaitEvent(seq) // with no other commit after it
			commits.arrive(a)
			t.Fence(log, a)
			return p.Fired()
		})
		_ = a.Stop()
		t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
	}
}

func takesEffect(t *test) {
	log := t.open()
	for n := range 20 {
		sub := t.Subscribe(log)
		r := t.Append(log, t.Event())
		_, _ = t.Next(sub, verify.Handoff, fmt.Sprintf("event %d, committed after Subscribe number %d had returned", r.Seqs[0], n+1))
		t.CloseSubscription(sub)
	}
}

func underHubIdle(t *test) {
	for range 5 {
		log := t.open()
		t.Fill(log, 2)
		hub := t.h.hub(log.Log)
		sub := t.Subscribe(hub)
		seq := t.Append(log, t.Event()).Seqs[0]
		for {
			events, err := t.Next(sub, verify.Handoff, fmt.Sprintf("event %d, committed after the Hub's Subscribe had returned", seq))
			if err == nil && len(events) == 0 { // a wake-up: read
				if events, _ = t.readThrough(hub, seq); len(events) == 0 {
					continue
				}
			}
			if err != nil && !errors.Is(err, cdc.ErrLagged) {
				t.StoreFailed("Next", err)
			}
			if trial.LastSeq(events) >= seq || err != nil {
				break
			}
		}
		t.CloseSubscription(sub)
		t.InTime(verify.Contained, "Hub.Close", func() { _ = hub.Close() })
	}
}

// readThrough reads the event with the seq, if it is there.
func (t *test) readThrough(log cdc.Log, seq uint64) ([]cdc.Event, error) {
	page, err := t.TryRead(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch, Seq: seq - 1}, 1)
	return page.Events, err
}
