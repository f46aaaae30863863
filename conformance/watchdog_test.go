package conformance_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

const watchdogEnv = "GAPLESS_WATCHDOG"

// TestChildThatSpins has a log that spins in one case, leaks a goroutine in
// another, and is right in the rest.
func TestChildThatSpins(t *testing.T) {
	if os.Getenv(watchdogEnv) == "" {
		t.Skip("is run by TestWatchdog")
	}
	h := harness(broken.None, broken.Source)
	h.Follow, h.Hub = nil, nil
	h.Open = func(_ context.Context, at conformance.Place) (cdc.Log, error) {
		if at.Case == "Live/EverySubscription" {
			go func() { <-make(chan struct{}) }()
		}
		return &spinning{broken.NewDisk(broken.None).Open(), at.Case == "Live/BetweenNexts"}, nil
	}
	conformance.Run(t, h)
}

type spinning struct {
	*broken.Store
	spins bool
}

func (s *spinning) Bounds(ctx context.Context) (cdc.Bounds, error) {
	var turns atomic.Uint64
	for s.spins {
		turns.Add(1)
	}
	return s.Store.Bounds(ctx)
}

// TestWatchdog: whatever a log does, the run goes on, and says within seconds
// which case stands still and what it promises.
func TestWatchdog(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^TestChildThatSpins$/^Live$/^(LoneCommit|BetweenNexts|EverySubscription|Rest)$")
	cmd.Env = append(os.Environ(), watchdogEnv+"=1")
	out, _ := cmd.CombinedOutput()
	for _, want := range []string{
		"--- PASS: TestChildThatSpins/Live/LoneCommit", "--- FAIL: TestChildThatSpins/Live/BetweenNexts", "--- FAIL: TestChildThatSpins/Live/EverySubscription", "--- PASS: TestChildThatSpins/Live/Rest",
		"Live promises: ", "the case did not end", "goroutines are left after everything was closed", "(*spinning).Bounds",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the run does not say %q", want)
		}
	}
	if ctx.Err() != nil || t.Failed() {
		t.Errorf("%v:\n%s", ctx.Err(), out)
	}
}
