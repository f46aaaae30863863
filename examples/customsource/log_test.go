package customsource_test

import (
	"context"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/examples/customsource"
)

func open(_ context.Context, at conformance.Place) (cdc.Log, error) {
	src, err := customsource.Open(at.Dir)
	if err != nil {
		return nil, err
	}
	return cdc.Poll(src, nil)
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Open: open, Reopen: open, Crash: conformance.CrashSelf("TestConformance"), Bubble: true,
	})
}
