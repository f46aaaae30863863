package testserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTimeout is how long a server may take until it answers.
const startTimeout = 60 * time.Second

// stopTimeout is how long a server may take to end before it is killed.
const stopTimeout = 10 * time.Second

// process is one run of a server's program. It dies with the test binary,
// however that ends.
type process struct {
	cmd    *exec.Cmd
	output Output
	done   chan struct{} // closed when the program has ended
}

// startProcess runs cmd, as another user if cred is not nil.
func startProcess(cmd *exec.Cmd, cred *syscall.Credential) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: cred}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that forked ends, so the thread
		// stays until the program has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is seen in the output
			close(p.done)
		}
	}()
	return p, <-started
}

// kill ends the program and its children with SIGKILL and waits until all are
// gone. Children are killed too because some servers' children live on for a
// while and keep the data folder locked.
func (p *process) kill() {
	children := childrenOf(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	<-p.done
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// stop asks the program to end with a signal, after which it leaves nothing behind
// in the machine's memory as it does after SIGKILL, and kills it if it does not.
func (p *process) stop(signal os.Signal) {
	if p.cmd.Process.Signal(signal) == nil {
		select {
		case <-p.done:
			return
		case <-time.After(stopTimeout):
		}
	}
	p.kill()
}

func childrenOf(parent int) []int {
	var children []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if _, ppid := procStat(path); ppid == parent {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}

func isZombie(pid int) bool {
	state, _ := procStat(fmt.Sprintf("/proc/%d/stat", pid))
	return state == "Z" || state == ""
}

// procStat returns state and parent of a process: "pid (name) state ppid …".
func procStat(path string) (state string, ppid int) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return "", 0
	}
	_, after, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	if !ok {
		return "", 0
	}
	_, _ = fmt.Sscan(string(after), &state, &ppid)
	return state, ppid
}

// portTries is how many free ports are tried when others take them first.
const portTries = 10

// portTaken is what servers say when they find their port in use, in lower case.
var portTaken = []string{"address already in use", "address in use", "port number that is already in use"}

// waitReady returns true when ready does, and false when the program has ended
// because its port is taken. Anything else ends the test with its output.
func (p *process) waitReady(tb testing.TB, name string, ready func() bool) bool {
	tb.Helper()
	deadline := time.Now().Add(startTimeout)
	for !ready() {
		select {
		case <-p.done:
			output := strings.ToLower(p.output.String())
			if slices.ContainsFunc(portTaken, func(text string) bool { return strings.Contains(output, text) }) {
				return false
			}
			tb.Fatalf("%s ended at start:\n%s", name, p.output.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.kill()
			tb.Fatalf("%s was not ready within %v:\n%s", name, startTimeout, p.output.String())
		}
	}
	return true
}

// FreePort returns a loopback TCP port that was free a moment ago.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only frees it
	return l.Addr().(*net.TCPAddr).Port
}

// FreeAddr returns a loopback TCP address that was free a moment ago.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(tb)))
}

// program finds the first of the named programs in PATH or in one of the
// folders, which may be patterns; the last match of a pattern is taken.
func program(name string, folders ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.EvalSymlinks(path)
	}
	for _, folder := range folders {
		found, _ := filepath.Glob(filepath.Join(folder, name))
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("no program %s", name)
}

// startOnFreePort runs start with free ports until it has one.
func startOnFreePort(tb testing.TB, name string, start func(testing.TB, int) *process) (int, *process) {
	tb.Helper()
	for range portTries {
		port := FreePort(tb)
		if p := start(tb, port); p != nil {
			return port, p
		}
	}
	tb.Fatalf("%s found no free port", name)
	return 0, nil
}

// restart runs start until the port is free again: an outgoing connection of
// another program may have it for a moment.
func restart(tb testing.TB, name string, port int, start func(testing.TB, int) *process) *process {
	tb.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if p := start(tb, port); p != nil {
			return p
		}
	}
	tb.Fatalf("%s cannot have port %d again", name, port)
	return nil
}
