package conformance_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/internal/broken"
)

func sseHarness(bug broken.Bug) conformance.SSEHarness {
	return conformance.SSEHarness{
		Log: harness(broken.None, broken.Source),
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return broken.Handler{Log: log, Bug: bug}, nil
		},
		Heartbeat: broken.Heartbeat, WriteTimeout: broken.WriteTimeout,
	}
}

func TestReferenceHandlerPasses(t *testing.T) { conformance.RunSSE(t, sseHarness(broken.None)) }

func TestHandlerMutantsAreKilled(t *testing.T) {
	for _, m := range broken.HandlerMutants() {
		t.Run(string(m.Bug), func(t *testing.T) {
			t.Parallel() // they wait for what does not come
			report := conformance.CheckSSE(t.Context(), sseHarness(m.Bug), &conformance.Options{
				Cases: []string{m.Kills}, Patience: 2 * time.Second, Limit: 20 * time.Second, Seed: 1,
			})
			if len(report.Results) != 1 {
				t.Fatalf("%d cases are called %s", len(report.Results), m.Kills)
			}
			if r := report.Results[0]; len(r.Faults) == 0 {
				t.Errorf("lives: %s passed or was skipped (%q)", m.Kills, r.Skipped)
			} else if testing.Verbose() {
				t.Logf("%v", r)
			}
		})
	}
}
