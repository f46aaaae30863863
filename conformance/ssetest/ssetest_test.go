package ssetest_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/ssetest"
	"github.com/gapless-go/gapless/internal/broken"
)

// harness is that of the small handler with the bug.
func harness(bug broken.Bug) ssetest.Harness {
	return ssetest.Harness{
		Log: conformance.Harness{Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return broken.NewDisk(broken.None).Open(), nil
		}},
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return broken.Handler{Log: log, Bug: bug}, nil
		},
		Encoded: func(_ context.Context, log cdc.Log, encode ssetest.Encode) (http.Handler, error) {
			return broken.Handler{Log: log, Bug: bug, Encode: encode}, nil
		},
		Heartbeat: broken.Heartbeat, WriteTimeout: broken.WriteTimeout,
	}
}

func TestReferenceHandlerPasses(t *testing.T) { ssetest.Run(t, harness(broken.None)) }

func TestHandlerMutantsAreKilled(t *testing.T) {
	for _, m := range broken.HandlerMutants() {
		t.Run(string(m.Bug), func(t *testing.T) {
			t.Parallel() // they wait for what does not come
			report := ssetest.Check(t.Context(), harness(m.Bug), &conformance.Options{
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
