package conformance_test

import (
	"context"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// The test of a log of your own. Cases that need a field of the harness which is
// nil are skipped, and say so.
func ExampleRun() {
	test := func(t *testing.T) { // func TestLog(t *testing.T)
		conformance.Run(t, conformance.Harness{
			Open: func(context.Context, conformance.Place) (cdc.Log, error) { return memlog.New(nil), nil },
		})
	}
	_ = test
}
