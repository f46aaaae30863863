package testserver

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// RanApart runs the test once more, in a process that has a network of its own,
// with a loopback device and nothing else, and returns true. In that process it
// returns false. A link that comes or goes in the machine's network makes each
// browser there give up its connections (ERR_NETWORK_CHANGED).
func RanApart(t *testing.T) bool {
	t.Helper()
	const apart = "GAPLESS_TEST_NETWORK=own"
	if slices.Contains(os.Environ(), apart) {
		if err := IP(t.Context(), "link", "set", "lo", "up"); err != nil {
			t.Fatal(err)
		}
		return false
	}
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		Missing(t, "netns", "a network of its own needs root and the program ip")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), apart)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		Missing(t, "netns", err.Error())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("in a network of its own: %v", err)
	}
	t.Logf("in a network of its own:\n%s", out.String())
	if !t.Failed() && bytes.Contains(out.Bytes(), []byte("--- SKIP")) {
		t.Skip("skipped there")
	}
	return true
}

// IP changes the network by the program ip.
func IP(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
