package leaktest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/leaktest"
)

// TestMain makes this binary its own subject: with LEAK set, one of its
// goroutines outlives the tests.
func TestMain(m *testing.M) {
	if os.Getenv("LEAKTEST_LEAK") != "" {
		go forgotten()
	}
	leaktest.Main(m)
}

func forgotten() { select {} }

func TestMainFailsWithTheStackOfWhatWasLeaked(t *testing.T) {
	if os.Getenv("LEAKTEST_LEAK") != "" {
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMainFails")
	cmd.Env = append(os.Environ(), "LEAKTEST_LEAK=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("a test binary with a leaked goroutine passed:\n%s", out)
	}
	if want := "leaktest_test.forgotten"; !strings.Contains(string(out), want) {
		t.Errorf("got output\n%s\nwant the stack of %s in it", out, want)
	}
}

func TestLeakedWaitsForAGoroutineThatIsAboutToEnd(t *testing.T) {
	release := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-release
	}()
	if got := named(leaktest.Leaked(0)); got != 1 {
		t.Errorf("a running goroutine: got %d stacks of this test, want 1", got)
	}
	close(release)
	<-done
	if got := named(leaktest.Leaked(time.Minute)); got != 0 {
		t.Errorf("after it ended: got %d stacks of this test, want 0", got)
	}
}

// named counts the stacks of goroutines that this file started.
func named(stacks []string) int {
	n := 0
	for _, s := range stacks {
		if strings.Contains(s, "TestLeakedWaits") && strings.Contains(s, "func1") {
			n++
		}
	}
	return n
}
