package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

// With GAPLESS_SOAK set it is three processes, 200 clients, 100,000 events and
// a kill every second, and what the command says is kept in docs/results.
func TestCluster(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		testserver.Missing(t, "redis", err.Error())
	}
	program := filepath.Join(t.TempDir(), "cluster")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	soak := os.Getenv("GAPLESS_SOAK") != ""
	args := []string{"-clients", "20", "-events", "2000", "-rate", "1000", "-kill", "300ms"}
	if soak {
		args = []string{"-servers", "3", "-clients", "200", "-events", "100000", "-rate", "2000", "-kill", "1s"}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "every client got every event once, in order") {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	t.Logf("%s", out)
	if soak {
		keep(t, args, string(out))
	}
}

// keep writes the result, without the addresses in its first line.
func keep(t *testing.T, args []string, out string) {
	t.Helper()
	_, rest, _ := strings.Cut(out, "\n")
	text := fmt.Sprintf("# Redis: servers that are killed\n\nWritten by `TestCluster` of examples/cluster, which ran\n\n```text\ncluster %s\n%s```\n", strings.Join(args, " "), rest)
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "results", "redis-cluster.md"), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}
