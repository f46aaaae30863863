package testserver

import (
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// NATS is a private nats-server with JetStream on a loopback port.
type NATS struct {
	URL string
	Dir string // where its streams are

	tb      testing.TB
	args    []string
	process *process
}

// StartNATS starts the nats-server of that path, or the installed one if it is
// empty, with further arguments. It ends with the test.
func StartNATS(tb testing.TB, path string, args ...string) *NATS {
	tb.Helper()
	if path == "" {
		var err error
		if path, err = exec.LookPath("nats-server"); err != nil {
			Missing(tb, "nats", err.Error())
		}
	}
	port := strconv.Itoa(FreePort(tb))
	n := &NATS{URL: "nats://127.0.0.1:" + port, Dir: tb.TempDir(), tb: tb}
	n.args = append([]string{path, "-a", "127.0.0.1", "-p", port, "-js", "-sd", n.Dir}, args...)
	tb.Cleanup(n.Kill)
	n.Start()
	return n
}

// Start starts the server again after Kill, with what it has stored.
func (n *NATS) Start() {
	n.tb.Helper()
	p, err := startProcess(exec.Command(n.args[0], n.args[1:]...), nil) //nolint:gosec // the program is the caller's
	if err != nil {
		n.tb.Fatal(err)
	}
	n.process = p
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", n.URL[len("nats://"):]); err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			n.tb.Fatalf("nats-server does not answer:\n%s", p.output.String())
		}
	}
}

// Kill ends the server with SIGKILL. It may be called again.
func (n *NATS) Kill() {
	if n.process != nil {
		n.process.kill()
		n.process = nil
	}
}
