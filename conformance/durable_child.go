package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// childMode is what a child does once, and kills itself within.
type childMode string

const (
	childAppends childMode = "append"
	childTrims   childMode = "trim"
	childRenews  childMode = "renew"
)

// doEnv tells a child the mode and the look at its context at which it has to
// kill itself.
const doEnv = "GAPLESS_CONFORMANCE_DO"

func childDo() (mode childMode, look int, ok bool) {
	n, _ := fmt.Sscanf(os.Getenv(doEnv), "%s %d", &mode, &look)
	return mode, look, n == 2
}

// childEvents is how many events a child appends in one call.
const childEvents = 5

// childAppend is what a child appends that is killed at the look.
func childAppend(look int) []cdc.Event {
	events := make([]cdc.Event, childEvents)
	for i := range events {
		id := fmt.Sprintf("killed-at-%d-%d", look, i)
		events[i] = cdc.Event{ID: id, Type: "child", Data: []byte(id)}
	}
	return events
}

const (
	childDone        = "done without the look"
	childUnsupported = "unsupported"
)

func killedInTheMiddle(parent context.Context, log cdc.Log, mode childMode, look int, out io.Writer) error {
	head, err := log.Bounds(parent)
	if err != nil {
		return err
	}
	ctx := trial.LookedAt(parent, look, func() {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		_, _ = fmt.Fprintf(out, "\nnot killed: %v\n", err)
		select {}
	})
	switch mode {
	case childAppends:
		_, err = cdc.Append(ctx, log, childAppend(look)...)
	case childTrims:
		_, err = cdc.Trim(ctx, log, head.Head-1)
	case childRenews:
		_, err = cdc.Renew(ctx, log)
	}
	said := childDone
	if errors.Is(err, errors.ErrUnsupported) {
		said, err = childUnsupported, nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s\n", said)
	return err
}

// killAtLook runs a child and reports whether it reached the look, and so was
// killed there.
func (t *test) killAtLook(mode childMode, look int, at Place) bool {
	cmd := t.h.Crash.Command(t.Ctx, at)
	cmd.Env = append(cmd.Environ(), fmt.Sprintf("%s=%s %d", doEnv, mode, look))
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case strings.Contains(text, childUnsupported):
		t.Skip("the log has no method to %s with", mode)
	case strings.Contains(text, childDone):
		return false
	case ok && !exit.Exited():
		return true
	}
	t.StoreFailed("the child process", fmt.Errorf("it was to %s, and ended with %w:\n%s", mode, err, text))
	return false
}
