package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A kill of the node that leads takes 4 to 9 s, which is how long nodes wait before
// they elect another. With GAPLESS_SOAK set it is 200 clients, 100,000 events and a node killed every
// 5 s: docs/results/jetstream.md has what the command says.
func TestNATSCluster(t *testing.T) {
	program := filepath.Join(t.TempDir(), "natscluster")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := []string{"-clients", "20", "-events", "2000", "-rate", "400", "-kill", "1s", "-killnode", "4s"}
	if os.Getenv("GAPLESS_SOAK") != "" {
		args = []string{"-servers", "3", "-clients", "200", "-events", "100000", "-rate", "2000", "-kill", "1s", "-killnode", "5s"}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "every client got every event once, in order") {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	t.Logf("%s", out)
}
