package conformance_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

// TestALogThatCannotBeWrittenFails makes sure that a harness that can do
// nothing does not pass by skipping everything.
func TestALogThatCannotBeWrittenFails(t *testing.T) {
	h := conformance.Harness{Open: func(context.Context, conformance.Place) (cdc.Log, error) {
		return cdc.Poll(struct{ cdc.Source }{broken.NewDisk(broken.None).Open()}, nil)
	}}
	report := conformance.Check(t.Context(), h, &conformance.Options{Cases: []string{"Unique"}, Dir: t.TempDir()})
	if len(report.Results) == 0 {
		t.Fatal("no case ran")
	}
	for _, r := range report.Results {
		if text := r.String(); len(r.Faults) == 0 || !strings.Contains(text, "set Harness.Append") {
			t.Errorf("%s: want a failure that says to set Harness.Append, got %s (skipped: %q)", r.Case.Name(), text, r.Skipped)
		}
	}
}

// TestAnAbilityThatDoesNothingFails makes sure that no case passes though what
// it is about did not happen, and that it says so.
func TestAnAbilityThatDoesNothingFails(t *testing.T) {
	for _, c := range abilitiesThatDoNothing() {
		for _, name := range c.in {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				h := harness(broken.None, broken.Source)
				h.Follow, h.Hub = nil, nil
				c.dull(&h)
				r := conformance.Check(t.Context(), h, &conformance.Options{Cases: []string{name}, Dir: t.TempDir(), Patience: 5 * time.Second}).Results[0]
				if text := r.String(); len(r.Faults) == 0 || !strings.Contains(text, c.want) {
					t.Errorf("want a failure that says %q, got %s (skipped: %q)", c.want, text, r.Skipped)
				}
			})
		}
	}
}

// TestAFailureTellsThePromiseOnce, and every call of a transaction.
func TestAFailureTellsThePromiseOnce(t *testing.T) {
	text := check(t, broken.Mutant{Bug: broken.RollbackVisible, Layer: broken.Source}, "Committed/RolledBack").String()
	if n := strings.Count(text, verify.Committed.Sentence()); n != 1 {
		t.Errorf("the promise is told %d times, want once, in\n%s", n, text)
	}
	for _, call := range []string{"tx1: Begin", "tx1: Append", "tx1: Rollback"} {
		if !strings.Contains(text, call) {
			t.Errorf("the calls lack %q in\n%s", call, text)
		}
	}
}

// idleAbility is an ability of a harness that does nothing.
type idleAbility struct {
	name string
	dull func(*conformance.Harness)
	want string
	in   []string // the cases that need it
}

func abilitiesThatDoNothing() []idleAbility {
	first := map[conformance.Place]cdc.Log{}
	return []idleAbility{
		{"Trim", func(h *conformance.Harness) {
			h.Trim = func(context.Context, cdc.Log, uint64) (int, error) { return 0, nil }
		}, "Harness.Trim did nothing", []string{
			"Resumable/Truncated", "Resumable/TrimExact", "Resumable/TrimAll", "Resumable/BeginningAfterTrim", "Resumable/TrimWhileReading",
			"Resumable/TrimUnderStream", "Resumable/TrimUnderHub", "Durable/ReopenTrimmed", "Durable/SeqsNotReused", "Durable/BoundsOnlyGrow",
			"Bounded/SlowAndTrimmed", "Bounded/SlowOverHub", "Idempotent/Trimmed",
		}},
		{"Renew", func(h *conformance.Harness) {
			h.Renew = func(context.Context, cdc.Log) error { return nil }
		}, "Harness.Renew did nothing", []string{
			"Resumable/EpochUnderStream", "Resumable/EpochUnderHub", "Resumable/EpochBetweenReads", "Resumable/EpochEndsSubscription", "Contained/Sticky/renewed", "Durable/ReopenRenewed",
		}},
		{"Sever", func(h *conformance.Harness) {
			h.Sever = func(context.Context, conformance.Place, cdc.Log) (int, error) { return 0, nil }
		}, "Harness.Sever did nothing", []string{"Live/Severed", "Contained/Sticky/severed"}},
		{"Rewind", func(h *conformance.Harness) {
			h.Rewind = func(context.Context, conformance.Place, cdc.Log, uint64) error { return nil }
		}, "Harness.Rewind did nothing", []string{
			"Resumable/Rewound", "Resumable/RewoundWhileFollowed/live", "Resumable/RewoundWhileFollowed/lag", "Resumable/RewoundWhileFollowed/break",
			"Resumable/RewoundWhileSlow", "Resumable/RewoundUnderStream", "Resumable/RewoundUnderHub",
		}},
		{"Break", func(h *conformance.Harness) {
			h.Break = func(context.Context, conformance.Place, cdc.Log) (func(), error) { return func() {}, nil }
		}, "Harness.Break did nothing", []string{"Reliable/StoreFails"}},
		{"Lock", func(h *conformance.Harness) {
			h.Lock = func(context.Context, conformance.Place, cdc.Log) (func(), error) { return func() {}, nil }
		}, "Harness.Lock did nothing", []string{"Contained/Locked"}},
		{"Second", func(h *conformance.Harness) {
			open := h.Open
			h.Open = func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
				log, err := open(ctx, at)
				first[at] = log
				return log, err
			}
			h.Second = func(_ context.Context, at conformance.Place) (cdc.Log, error) { return first[at], nil }
		}, "Harness.Second did nothing", []string{"Live/SecondHandle", "Resumable/SecondHandle", "Live/HeadIsFresh"}},
		{"Crash", func(h *conformance.Harness) {
			h.Crash = &conformance.Crash{Command: func(ctx context.Context, _ conformance.Place) *exec.Cmd {
				return exec.CommandContext(ctx, os.Args[0], "-test.list=^$")
			}}
		}, "it ended by itself after 0 appends", []string{"Durable/Killed"}},
	}
}

// TestARewindThatAHubHearsOfLate: the Hub has the lost events in its tail and
// serves them until its log wakes it. That is no fault of the log.
func TestARewindThatAHubHearsOfLate(t *testing.T) {
	below := harness(broken.None, broken.Source)
	h := below
	h.Follow, h.Hub = nil, nil
	h.Open = func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
		log, err := below.Open(ctx, at)
		return &deaf{Log: log}, err
	}
	h.Rewind = func(ctx context.Context, at conformance.Place, log cdc.Log, seq uint64) error {
		time.Sleep(time.Second) // virtual: the Hub has read everything
		log.(*deaf).until.Store(time.Now().Add(time.Second))
		return below.Rewind(ctx, at, log, seq)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		report := conformance.Check(t.Context(), conformance.OverHub(h, nil), &conformance.Options{Cases: []string{"Resumable/Rewound*", "Resumable/Rewound*/*"}, Dir: dir})
		if err := report.Err(); err != nil || len(report.Results) != 7 {
			t.Errorf("%d cases ran: %v", len(report.Results), err)
		}
	})
}

// deaf is a log whose subscriptions carry no events, and wake nobody until the
// time.
type deaf struct {
	cdc.Log
	until atomic.Value // of time.Time
}

func (d *deaf) Unwrap() cdc.Log { return d.Log }

func (d *deaf) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	sub, err := d.Log.Subscribe(ctx)
	return deafSubscription{sub, d}, err
}

type deafSubscription struct {
	cdc.Subscription
	log *deaf
}

func (s deafSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	_, err := s.Subscription.Next(ctx)
	if until, ok := s.log.until.Load().(time.Time); ok {
		time.Sleep(time.Until(until))
	}
	return nil, err
}
