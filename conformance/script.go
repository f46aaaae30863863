package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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
		trial.RunScript(t, script, h.Bubble, func(ctx context.Context, _ int, s trial.Settings) *trial.Trial {
			return scriptCase(script).start(ctx, h, s)
		})
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
	if opts == nil {
		opts = &Options{}
	}
	c := scriptCase(script)
	return resultOf(c, c.start(ctx, h, opts.settings().WithDefaults()).Watch())
}

func scriptCase(script []byte) Case {
	return Case{
		Guarantee: verify.Reliable, Situation: "Script", Sentence: "operations in an order that was generated",
		run: func(t *test) { (&scripted{t: t, log: t.open()}).run(script) },
	}
}

// drawnScripts does operations that were drawn from the seed.
func drawnScripts(t *test) {
	for range 3 {
		script := make([]byte, scriptLimit/2)
		for i := range script {
			script[i] = byte(t.Rand.Uint32())
		}
		t.Trace("-- script %q, drawn from the seed", script)
		(&scripted{t: t, log: t.open()}).run(script)
	}
}

// scripted is the state of a script.
type scripted struct {
	t     *test
	log   handle
	seqs  []uint64
	taps  []*trial.Tap
	open  []*trial.Tx
	alive []*trial.Stream
	held  []func()
	hubs  []HubLog
	still map[*trial.Stream]bool
}

func (s *scripted) run(script []byte) {
	s.still = map[*trial.Stream]bool{}
	defer func() {
		for _, hub := range s.hubs {
			_ = hub.Close()
		}
	}()
	s.seqs = s.t.Fill(s.log, 2)
	for i, op := range script[:min(len(script), scriptLimit)] {
		s.step(op, i)
	}
	for _, resume := range s.held {
		resume()
	}
	for len(s.open) > 0 {
		s.end(0, len(s.open)%2 == 0)
	}
	marker := s.t.Append(s.log, s.t.Event()).Seqs[0]
	for _, stream := range s.alive {
		stream.Await(verify.Reliable, func(p trial.Progress) bool { return p.Err != nil || trial.LastSeq(p.Events) >= marker }, "stream %s ends or delivers %d", stream.Name, marker)
		if reset, ok := errors.AsType[*cdc.ResetError](stream.Err()); stream.Ended() && (!ok || reset.Reason != cdc.ReasonTruncated) {
			s.t.Fail(verify.Contained, "stream %s ended with %v", stream.Name, stream.Err())
		}
	}
	s.t.Record(s.log)
}

// step does one operation; n is its place in the script.
func (s *scripted) step(op byte, n int) {
	arg := int(op) + n
	switch op % 16 {
	case 0, 1, 2, 3:
		s.seqs = append(s.seqs, s.t.Append(s.log, s.t.Events(1+arg%3)...).Seqs...)
	case 4, 5:
		s.follow(s.log.Log, []cdc.Start{cdc.Latest(), cdc.Beginning(), cdc.After(cdc.Cursor{Seq: s.seqs[arg%len(s.seqs)]})}[arg%3])
	case 6:
		hub := s.t.h.hub(s.log.Log)
		s.hubs = append(s.hubs, hub)
		s.follow(hub, []cdc.Start{cdc.Latest(), cdc.Beginning()}[arg%2])
	case 7, 8:
		if len(s.taps) > 0 {
			p := s.taps[arg%len(s.taps)]
			if op%2 == 0 {
				p.ForceLag()
			} else {
				forceBreak(p)
			}
		}
	case 9, 10:
		if len(s.taps) > 0 {
			s.t.commitsAt(s.taps[arg%len(s.taps)], s.log, []int{1 + arg%7})
		}
	case 11:
		if _, err := s.t.h.trim(s.t.Ctx, s.log.Log, s.seqs[arg%len(s.seqs)]); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			s.t.StoreFailed("Trim", err)
		}
	case 12:
		if s.t.h.Begin != nil && len(s.open) < max(1, s.t.h.Writers) {
			tx := s.t.Begin(s.log)
			tx.Append(1 + arg%2)
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
	stream := s.t.Follow(fmt.Sprintf("stream %d", len(s.alive)+1), tapped, start, &cdc.FollowOptions{PageSize: 1 + len(s.alive)*2})
	stream.Await(verify.Live, func(p trial.Progress) bool { return p.Batches > 0 || p.Err != nil }, "the first batch")
	s.alive = append(s.alive, stream)
}

func (s *scripted) end(i int, commit bool) {
	if commit {
		s.open[i].Commit()
	} else {
		s.open[i].Rollback()
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
		s.held = append(s.held, stream.Hold())
	}
}
