package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Fuzz lets the fuzzing engine look for a sequence of operations that breaks a
// promise of the log:
//
//	func FuzzLog(f *testing.F) { conformance.Fuzz(f, harness()) }
func Fuzz(f *testing.F, h Harness) {
	f.Helper()
	for _, seed := range []string{"", "a", "aLaBaCa", "LaaTaBaaSa", "aaXaLaYaaZ", "BaLaTaLaCaBaLa", "oaoacraLacb", "HaLaTaHaBaSaCa"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		o := (&Options{Dir: t.TempDir(), Seed: 1}).filled()
		run := func(ctx context.Context) *trial { return scriptTrial(ctx, h, script, o) }
		var r Result
		if h.Bubble {
			r = inBubble(t, o, run)
		} else {
			r = run(t.Context()).watch()
		}
		if len(r.Faults) > 0 {
			t.Errorf("%s\n  script %q", r, script)
		}
	})
}

// scriptLimit is how many operations of a script are done.
const scriptLimit = 60

// Script does the operations that the bytes spell, in order, and judges what
// every stream delivered: appends, transactions that overlap, trims, streams
// that begin somewhere, lag, break, stand still and go on, and commits that
// are interposed before later calls. Every text is a script, so that an engine
// that generates and shrinks texts can look for the shortest that fails.
func Script(ctx context.Context, h Harness, script []byte, opts *Options) Result {
	return scriptTrial(ctx, h, script, opts.filled()).watch()
}

func scriptTrial(ctx context.Context, h Harness, script []byte, o Options) *trial {
	c := Case{Guarantee: verify.Reliable, Situation: "Script", Sentence: "operations in an order that was generated"}
	c.run = func(t *trial) { (&scripted{t: t, log: t.open()}).run(script) }
	return newTrial(ctx, c, h, o)
}

// drawnScripts does operations that were drawn from the seed.
func drawnScripts(t *trial) {
	for range 3 {
		script := make([]byte, scriptLimit/2)
		for i := range script {
			script[i] = byte(t.rng.Uint32())
		}
		t.trace.add("-- script %q, drawn from the seed", script)
		(&scripted{t: t, log: t.open()}).run(script)
	}
}

// scripted is the state of a script.
type scripted struct {
	t     *trial
	log   handle
	seqs  []uint64
	taps  []*tap
	open  []*transaction
	alive []*stream
	held  []func()
	hubs  []HubLog
	still map[*stream]bool
}

func (s *scripted) run(script []byte) {
	s.still = map[*stream]bool{}
	defer func() {
		for _, hub := range s.hubs {
			_ = hub.Close()
		}
	}()
	s.seqs = s.t.fill(s.log, 2)
	for i, op := range script[:min(len(script), scriptLimit)] {
		s.step(op, i)
	}
	for _, resume := range s.held {
		resume()
	}
	for len(s.open) > 0 {
		s.end(0, len(s.open)%2 == 0)
	}
	marker := s.t.append(s.log, s.t.event()).Seqs[0]
	for _, stream := range s.alive {
		stream.await(verify.Reliable, func() bool { return stream.err != nil || lastSeq(stream.events) >= marker }, "stream %s ends or delivers %d", stream.name, marker)
		if reset, ok := errors.AsType[*cdc.ResetError](stream.failure()); stream.ended() && (!ok || reset.Reason != cdc.ReasonTruncated) {
			s.t.fail(verify.Contained, "stream %s ended with %v", stream.name, stream.err)
		}
	}
	s.t.record(s.log)
}

// step does one operation; n is its place in the script.
func (s *scripted) step(op byte, n int) {
	arg := int(op) + n
	switch op % 16 {
	case 0, 1, 2, 3:
		s.seqs = append(s.seqs, s.t.append(s.log, s.t.eventsN(1+arg%3)...).Seqs...)
	case 4, 5:
		s.follow(s.log.Log, []cdc.Start{cdc.Latest, cdc.Beginning, cdc.After(cdc.Cursor{Seq: s.seqs[arg%len(s.seqs)]})}[arg%3])
	case 6:
		hub := s.t.h.hub(s.log.Log)
		s.hubs = append(s.hubs, hub)
		s.follow(hub, []cdc.Start{cdc.Latest, cdc.Beginning}[arg%2])
	case 7, 8:
		if len(s.taps) > 0 {
			p := s.taps[arg%len(s.taps)]
			if op%2 == 0 {
				p.forceLag()
			} else {
				forceBreak(p)
			}
		}
	case 9, 10:
		if len(s.taps) > 0 {
			s.t.commitsAt(s.taps[arg%len(s.taps)], s.log, []int{1 + arg%7})
		}
	case 11:
		if _, err := s.t.h.trim(s.t.ctx, s.log.Log, s.seqs[arg%len(s.seqs)]); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			s.t.broken("Trim", err)
		}
	case 12:
		if s.t.h.Begin != nil && len(s.open) < max(1, s.t.h.Writers) {
			tx := s.t.begin(s.log)
			tx.append(1 + arg%2)
			s.open = append(s.open, tx)
			if s.t.h.Writers <= 1 { // everybody else who writes would wait for it
				s.end(0, arg%3 > 0)
			}
		}
	case 13, 14:
		if len(s.open) > 0 {
			s.end(arg%len(s.open), op%2 == 0)
		}
	case 15:
		s.stand(arg)
	}
}

func (s *scripted) follow(log cdc.Log, start cdc.Start) {
	if len(s.alive) >= 6 {
		return
	}
	p, tapped := s.t.tapped(log)
	s.taps = append(s.taps, p)
	stream := s.t.follow(fmt.Sprintf("stream %d", len(s.alive)+1), tapped, start, &cdc.FollowOptions{PageSize: 1 + len(s.alive)*2})
	stream.await(verify.Live, func() bool { return stream.batches > 0 || stream.err != nil }, "the first batch")
	s.alive = append(s.alive, stream)
}

func (s *scripted) end(i int, commit bool) {
	if commit {
		s.open[i].commit()
	} else {
		s.open[i].rollback()
	}
	s.open = slices.Delete(s.open, i, i+1)
}

// stand makes the consumer of a stream stand still until the end.
func (s *scripted) stand(arg int) {
	if len(s.alive) == 0 {
		return
	}
	if stream := s.alive[arg%len(s.alive)]; !s.still[stream] {
		s.still[stream] = true
		s.held = append(s.held, stream.hold())
	}
}
