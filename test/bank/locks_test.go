package bank_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopBetween stops the process where it has no file locked for itself: another
// one could not work before it went on.
func (p *process) stopBetween(t *testing.T) {
	t.Helper()
	for range 1_000 {
		_ = p.Process.Signal(syscall.SIGSTOP)
		p.awaitStop(t)
		locks := exclusive(t, p.Process.Pid)
		if len(locks) == 0 {
			return
		}
		_ = p.Process.Signal(syscall.SIGCONT)
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("process %d was never seen without a lock: %v", p.Process.Pid, exclusive(t, p.Process.Pid))
}

// awaitStop returns when the process is stopped, as proc(5) says.
func (p *process) awaitStop(t *testing.T) {
	t.Helper()
	for {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(text), ") "); strings.HasPrefix(state, "T") {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// exclusive are the locks of files that the process shares with nobody, as
// /proc/locks has them.
func exclusive(t *testing.T, pid int) (locks []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 4 && words[3] == "WRITE" && words[4] == fmt.Sprint(pid) {
			locks = append(locks, strings.TrimSpace(line))
		}
	}
	return locks
}
