package conformance_test

import (
	"testing"
	"time"

	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

func FuzzReference(f *testing.F) {
	h := harness(broken.None, broken.Source)
	h.Follow, h.Hub = nil, nil
	conformance.Fuzz(f, h)
}

// TestScriptFindsAMutant makes sure that a script can fail at all. Whether the
// stream has read past the older transaction before it commits is up to the
// scheduler, so it gets more than one chance.
func TestScriptFindsAMutant(t *testing.T) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		o := &conformance.Options{Dir: t.TempDir(), Patience: time.Second, Seed: 1}
		r := conformance.Script(t.Context(), harness(broken.LateCommit, broken.Source), []byte("\x05\x0c\x0c\x0e\x02\x0e"), o)
		if len(r.Faults) > 0 {
			return
		}
	}
	t.Error("a late commit below the cursor was not found")
}
