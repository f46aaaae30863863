package conformance_test

import (
	"testing"
	"time"

	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/internal/broken"
)

func FuzzReference(f *testing.F) {
	h := harness(broken.None, broken.Source)
	h.Follow, h.Hub = nil, nil
	conformance.Fuzz(f, h)
}

// TestScriptFindsAMutant makes sure that a script can fail at all.
func TestScriptFindsAMutant(t *testing.T) {
	o := &conformance.Options{Dir: t.TempDir(), Patience: time.Second, Seed: 1}
	r := conformance.Script(t.Context(), harness(broken.LateCommit, broken.Source), []byte("\x05\x0c\x0c\x0e\x02\x0e"), o)
	if len(r.Faults) == 0 {
		t.Error("a late commit below the cursor was not found")
	}
}
