package placetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/overlay"
)

// consumeFaults are one line each that Consume itself could have wrong, with what
// notices: a test of cdc, or a case of Effective over the reference.
var consumeFaults = []struct{ name, file, right, wrong, killedBy string }{
	{
		"parked key overtaken", "consume_parked.go",
		`return key != "" && firstOf(c.state.Parked, key) >= 0`, `return false`,
		"TestConsumeRetriesAndParks",
	},
	{
		"those before a failed event skipped", "consume_apply.go",
		`if err = c.handleBatch(ctx, all[:n], false); err == nil {`, `if err = nil; err == nil {`,
		"TestConsumeStops",
	},
	{
		"anew where those before fail", "consume_apply.go",
		`failed, ofHandler = errors.AsType[*eventError](err) // now on one before`, `ofHandler = false`,
		"TestConsumeWithAHandlerThatFailsAnywhere",
	},
	{
		"cursor past what is not handled", "consume_apply.go",
		`	if last {`, `	if true {`,
		"TestConsumeStops",
	},
	{
		"unknown outcome taken for done", "consume_apply.go",
		`case errors.Is(err, ErrFenced):
		return errReload`, `case errors.Is(err, ErrUnknownOutcome):
		return nil
	case errors.Is(err, ErrFenced):
		return errReload`,
		"Effective/UnknownOutcome",
	},
	{
		"cursor of a batch at its first event", "consume_apply.go",
		`change := Change{Cursor: c.cursorAfter(events[len(events)-1].Event, last)}`, `change := Change{Cursor: events[0].Event.Cursor(c.position.Epoch)}`,
		"Effective/Killed",
	},
	{
		"parked events of a key in any order", "consume_parked.go",
		`if p.Key != "" && firstOf(parked, p.Key) != i {`, `if false {`,
		"TestConsumeTriesLater",
	},
	{
		"those behind a parked event forgotten", "consume_apply.go",
		`Event: d.Event, Behind: true})`, `Event: d.Event})`,
		"TestConsumeRetriesAndParks",
	},
	{
		"one try too many", "consume_apply.go",
		`d.Tries >= c.opts.MaxTries`, `d.Tries > c.opts.MaxTries`,
		"TestConsumeRetriesAndParks",
	},
	{
		"prepared though it failed", "consume_apply.go",
		`d.prepared = err == nil`, `d.prepared = true`,
		"TestConsumePrepares",
	},
	{
		"state of before the failure kept", "consume_work.go",
		`	c.state = state
`, `	if c.state.Revision == 0 {
		c.state = state
	}
`,
		"Effective/Moved",
	},
	{
		"changes from outside not seen", "consume_work.go",
		`if c.seen.Load() > c.state.Revision {`, `if false {`,
		"Effective/Moved",
	},
	{
		"paused worker works", "consume_work.go",
		`if c.state.Paused {`, `if false {`,
		"Effective/Moved",
	},
	{
		"errors of the stream swallowed", "consume_work.go",
		`				return s.err
`, `				continue
`,
		"TestConsumeReset",
	},
	{
		"lease kept at the end", "consume_lease.go",
		`c.place.Lease(last, c.name, c.holder, 0)`, `c.place.Lease(last, c.name, c.holder, c.opts.Term)`,
		"Effective/HandedOver",
	},
	{
		"parked events survive a reset", "consume_work.go",
		`change.Unpark = append(change.Unpark, p.Event.Seq)`, `_ = p`,
		"TestConsumeResetForgetsWhatIsParked",
	},
	{
		"position of the filter not stored", "consume_work.go",
		`if idle && c.position != c.state.Cursor {`, `if false {`,
		"TestConsumeMovesPastWhatItsFilterLeavesOut",
	},
}

// TestFaultsOfConsumeAreKilled builds cdc with each fault, the first few of them
// without GAPLESS_SOAK.
func TestFaultsOfConsumeAreKilled(t *testing.T) {
	some := consumeFaults
	if os.Getenv("GAPLESS_SOAK") == "" {
		some = some[:6]
	}
	for _, f := range some {
		t.Run(f.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=1m", "-overlay", overlay.File(t, filepath.Join("../../cdc", f.file), f.right, f.wrong),
				"-run", "^TestConsume|^TestReferencePasses$", "../../cdc", ".").CombinedOutput()
			if err == nil || !strings.Contains(string(out), f.killedBy+":") && !strings.Contains(string(out), "--- FAIL: "+f.killedBy) {
				t.Errorf("%s survives %s: %v\n%s", f.name, f.killedBy, err, out)
			}
		})
	}
}
