package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
)

func TestCluster(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		testserver.Missing(t, "redis", err.Error())
	}
	program := filepath.Join(t.TempDir(), "cluster")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-clients", "20", "-events", "2000", "-rate", "1000", "-kill", "300ms").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "every client got every event once, in order") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
