package command

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// meter shows on the standard error how many events there were and how fast.
type meter struct{ bar *progressbar.ProgressBar }

// meter is silent unless somebody sees it.
func (a *app) meter(what string, total int64) (*meter, error) {
	switch a.progress {
	case "auto":
		if !isTerminal(a.Err) || a.json {
			return &meter{}, nil
		}
	case "never":
		return &meter{}, nil
	case "always":
	default:
		return nil, usagef("--progress is %q: give auto, always or never", a.progress)
	}
	// It is shown at once: the goroutine that turns its spinner reads without a lock
	// when it was shown first.
	return &meter{progressbar.NewOptions64(
		total,
		progressbar.OptionSetWriter(a.Err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("events"), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionSetWidth(20),
		progressbar.OptionSpinnerType(14), progressbar.OptionSetRenderBlankState(true), progressbar.OptionSetPredictTime(total > 0), progressbar.OptionClearOnFinish(),
	)}, nil
}

// shown reports whether anybody sees it.
func (m *meter) shown() bool { return m.bar != nil }

func (m *meter) add(n int) {
	if m.bar != nil {
		_ = m.bar.Add(n) // a display that fails is no reason to end
	}
}

func (m *meter) lag(seqs uint64) {
	if m.bar != nil {
		m.bar.Describe(fmt.Sprintf("%d behind", seqs))
	}
}

func (m *meter) done() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}
