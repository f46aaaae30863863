package pebblesource

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
)

func open(_ context.Context, at conformance.Place) (cdc.Log, error) {
	src, err := Open(at.Dir, &Options{Pebble: &pebble.Options{Logger: quiet{pebble.DefaultLogger}}})
	if err != nil {
		return nil, err
	}
	return cdc.Poll(src, nil)
}

// TestConformance is the suite over files, with a process that is killed.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{Open: open, Reopen: open, Crash: conformance.CrashSelf("TestConformance")})
}

// TestPowerCuts is the suite over a disk that loses what was not synced, and of
// which parts cannot be read.
func TestPowerCuts(t *testing.T) { conformance.Run(t, powerCuts()) }
