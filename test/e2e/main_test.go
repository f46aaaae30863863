package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
)

// patience is how long a step may take before a test gives up on it.
const patience = 60 * time.Second

// full reports whether the campaigns have their full size.
func full() bool { return os.Getenv("GAPLESS_SOAK") != "" }

// pick returns the size of a campaign.
func pick[T any](short, long T) T {
	if full() {
		return long
	}
	return short
}

// binaries is the folder of the Go programs that the tests drive.
var binaries string

func TestMain(m *testing.M) { leaktest.Main(built{m}) }

// built runs the tests with the programs that they drive.
type built struct{ m *testing.M }

// Run builds, tests and removes what was built.
func (b built) Run() int {
	dir, err := os.MkdirTemp("", "gapless-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	for _, packages := range [][]string{
		{"./clients/launchdarkly", "./clients/gosse", "./clients/r3labs", "./clients/remote", "./server", "./fiber"},
		{"github.com/gapless-go/gapless/examples/quickstart"},
	} {
		build := exec.Command("go", append([]string{"build", "-o", dir + "/"}, packages...)...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
	}
	return b.m.Run()
}

// needNode skips, or fails if it is required, without Node.js or the packages.
func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		testserver.Missing(t, "node", err.Error())
	}
	for _, folder := range []string{".", typescriptFolder} {
		if !exists(filepath.Join(folder, "node_modules/.installed")) {
			testserver.Missing(t, "npm", "the packages are not installed: run 'make install'")
		}
	}
}

func needChromium(t *testing.T) {
	t.Helper()
	needNode(t)
	if os.Getenv("GAPLESS_CHROMIUM") != "" {
		return
	}
	if !slices.ContainsFunc([]string{"/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"}, exists) {
		testserver.Missing(t, "chromium", "it is not in /usr/bin, and GAPLESS_CHROMIUM does not name it")
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// node runs a Node.js program to its end and returns what it printed.
func node(t *testing.T, env []string, args ...string) string {
	t.Helper()
	needNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe() // its end would end the program
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func binary(name string) string { return filepath.Join(binaries, name) }

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
