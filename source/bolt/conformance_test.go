package boltlog_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

func harness() conformance.Harness {
	open := func(_ context.Context, at conformance.Place) (cdc.Log, error) {
		return boltlog.Open(filepath.Join(at.Dir, "log.db"), nil)
	}
	return conformance.Harness{Open: open, Reopen: open, Crash: conformance.CrashSelf("TestConformance"), Bubble: true}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }

func TestConformanceOverHub(t *testing.T) {
	conformance.Run(t, conformance.OverHub(harness(), &cdc.HubOptions{TailEvents: 16}))
}
