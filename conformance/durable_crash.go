package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// childEnv tells [Run] in a re-executed test binary where the log is that it
// has to append to.
const childEnv = "GAPLESS_CONFORMANCE_CHILD"

// Crash makes a process that can be killed.
type Crash struct {
	// Command is the command of a process that opens the log at the place,
	// which exists, and calls [CrashChild].
	Command func(ctx context.Context, at Place) *exec.Cmd
}

// CrashSelf re-executes the test binary: the child runs the named test, whose
// [Run] opens the log with Harness.Reopen and appends until it is killed. It
// fits logs that any process can open by their place alone.
func CrashSelf(test string) *Crash {
	return &Crash{Command: func(ctx context.Context, at Place) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), childEnv+"="+at.Name+" "+at.Dir)
		return cmd
	}}
}

// CrashChild appends events to the log and writes a line for each that was
// acknowledged, until it is killed or out is closed. For some cases, which say
// so in its environment, it does one thing and kills itself in the middle.
func CrashChild(ctx context.Context, log cdc.Log, out io.Writer) error {
	if mode, look, ok := childDo(); ok {
		return killedInTheMiddle(ctx, log, mode, look, out)
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("child%d-%d", os.Getpid(), n)
		events := []cdc.Event{{ID: id, Type: "child", Data: []byte(id)}, {ID: id + "b", Type: "child", Data: []byte(id)}}
		r, err := cdc.Append(ctx, log, events...)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "\nacknowledged %s %s %d %d\n", r.Epoch, id, r.Seqs[0], r.Seqs[1]); err != nil {
			return err
		}
	}
}

// crashChild is [Run] in the child. It reports whether this process is one.
func crashChild(t *testing.T, h Harness) bool {
	name, dir, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		return false
	}
	log, err := h.Reopen(t.Context(), Place{Name: name, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(CrashChild(t.Context(), log, os.Stdout))
	return true
}

// killed kills the child at the k-th line, while it is in the middle of what
// comes next.
func killed(t *test) {
	log := t.open()
	t.Fill(log, 2)
	epoch := t.Bounds(log).Epoch
	resume := cdc.Cursor{Epoch: epoch}
	for _, k := range []int{1, 2, 5, 9} {
		t.close(log)
		acknowledged := t.killAt(k, log.at)
		log = t.openWith("Reopen", t.h.Reopen, log.at)
		for _, a := range acknowledged {
			t.History.Append(a)
		}
		events := t.ReadAll(log, resume, 1000)
		t.Want(t.Bounds(log).Epoch == epoch, "the epoch changed when the process was killed")
		t.Want(len(events)%2 == 0 || k == 1 && len(events) > 0, "an append of two events was cut in half by the kill: %s", trial.EventsText(events))
		for _, a := range acknowledged {
			for _, r := range a.Records {
				t.Want(hasSeq(events, r), "event %d (%s) was acknowledged before the process was killed, and is gone", r.Seq, r.ID)
			}
		}
		resume = cdc.Cursor{Epoch: epoch, Seq: t.Bounds(log).Head}
	}
	t.Fill(log, 2)
	t.Record(log)
}

func hasSeq(events []cdc.Event, r verify.Record) bool {
	for _, e := range events {
		if e.Seq == r.Seq {
			return e.ID == r.ID
		}
	}
	return false
}

func (t *test) killAt(k int, at Place) []verify.Append {
	cmd := t.h.Crash.Command(t.Ctx, at)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.StoreFailed("Crash.Command", err)
	}
	var acknowledged []verify.Append
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		a := verify.Append{Begin: t.History.Tick(), Outcome: verify.Acknowledged, Records: make([]verify.Record, 2)}
		if n, _ := fmt.Sscanf(lines.Text(), "acknowledged %s %s %d %d", &a.Epoch, &a.Records[0].ID, &a.Records[0].Seq, &a.Records[1].Seq); n == 4 {
			a.Records[1].ID = a.Records[0].ID + "b"
			a.End = t.History.Tick()
			acknowledged = append(acknowledged, a)
		}
		if len(acknowledged) == k {
			_ = cmd.Process.Kill() // and read on: it has acknowledged more until then
		}
	}
	t.Trace("the child acknowledged %d appends and was killed", len(acknowledged))
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); len(acknowledged) < k || !ok || exit.Exited() {
		t.StoreFailed("the child process", fmt.Errorf("it ended by itself after %d appends: %w", len(acknowledged), err))
	}
	return acknowledged
}
