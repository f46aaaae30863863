package rules_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

const readmePatience = 2 * time.Minute

// TestTheWalkthroughOfTheREADME runs the commands of the README in one shell,
// in a copy of the repository with its history, on a free port.
func TestTheWalkthroughOfTheREADME(t *testing.T) {
	for _, program := range []string{"git", "curl", "bash", "awk"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, program, err.Error())
		}
	}
	addr := freeAddr(t)
	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\nstep() { echo \"--- $1\"; read -r; }\n")
	steps := 0
	for _, b := range blocksOf("README.md", read(t, "README.md")) {
		if b.marker == "tested by "+t.Name() {
			steps++
			fmt.Fprintf(&script, "%s\nstep %d\n", strings.ReplaceAll(b.text, "127.0.0.1:8080", addr), steps)
		}
	}
	if steps != 6 {
		t.Fatalf("the README has %d blocks of the walkthrough, this test knows 6", steps)
	}
	dir := copyWithHistory(t)
	shell := startShell(t, dir, script.String())
	healthy := func() bool { return status("http://"+addr+"/healthz") == http.StatusOK }
	came := func(file string, n int) func() bool {
		return func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, file))
			return bytes.Count(text, []byte(`"type":"commit"`)) >= n
		}
	}
	commits, err := strconv.Atoi(strings.TrimSpace(string(git(t, dir, "rev-list", "--count", "HEAD"))))
	if err != nil {
		t.Fatal(err)
	}
	first := min(10, commits)
	shell.step(t, 1, healthy)
	shell.step(t, 2, came("before.sse", first))
	shell.step(t, 3, healthy)
	shell.step(t, 4, nil)
	shell.step(t, 5, came("after.sse", commits-first))
	printed := strings.Fields(shell.step(t, 6, nil))
	if want := strconv.Itoa(commits); len(printed) != 2 || printed[0] != want || printed[1] != want {
		t.Errorf("the last block printed %q, want the number of commits, %s, twice", printed, want)
	}
}

// TestMakeRunServesThePage needs nothing but Go and make.
func TestMakeRunServesThePage(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		testserver.Missing(t, "make", err.Error())
	}
	addr := freeAddr(t)
	cmd := exec.Command("make", "run", "ADDR="+addr, "DB="+filepath.Join(t.TempDir(), "run.db"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer endGroup(t, cmd)
	awaitReadme(t, "make run to serve the page", func() bool { return status("http://"+addr+"/") == http.StatusOK })
}

// shell runs a script that waits for a line after each step.
type shell struct {
	stdin io.Writer
	mu    sync.Mutex
	out   strings.Builder
}

func startShell(t *testing.T, dir, script string) *shell {
	t.Helper()
	s := &shell{}
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), gitEnv()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Stdout, cmd.Stderr = s, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endGroup(t, cmd) })
	return s
}

// Write takes what the script prints.
func (s *shell) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// step waits until the commands of step n have ended and what they started
// has had its effect, lets the script go on, and returns what they printed.
func (s *shell) step(t *testing.T, n int, effect func() bool) (printed string) {
	t.Helper()
	mark := fmt.Sprintf("--- %d\n", n)
	awaitReadme(t, fmt.Sprintf("step %d to end", n), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		before, _, ended := strings.Cut(s.out.String(), mark)
		if i := strings.LastIndex(before, fmt.Sprintf("--- %d\n", n-1)); i >= 0 {
			before = before[i+len(mark):]
		}
		printed = before
		return ended
	})
	if effect != nil {
		awaitReadme(t, fmt.Sprintf("the effect of step %d", n), effect)
	}
	if _, err := io.WriteString(s.stdin, "\n"); err != nil {
		t.Error(err)
	}
	return printed
}

// copyWithHistory clones the repository and puts the files as they are now on
// top, so that the test is about these.
func copyWithHistory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gapless")
	cmd := exec.CommandContext(t.Context(), "git", "rev-parse", "--git-dir")
	cmd.Env = append(os.Environ(), gitEnv()...)
	if err := cmd.Run(); err != nil {
		testserver.Missing(t, "git", "this copy of the code has no history")
	}
	git(t, ".", "clone", "-q", "--no-hardlinks", ".", dir)
	for name := range strings.SplitSeq(string(git(t, ".", "ls-files", "-z", "-co", "--exclude-standard")), "\x00") {
		info, err := os.Stat(name)
		if name == "" || err != nil { // removed, not yet committed
			continue
		}
		data := read(t, name)
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(data), info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), gitEnv()...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %q: %v", args, err)
	}
	return out
}

// gitEnv lets git read a repository of whatever owner, and no other setting.
func gitEnv() []string {
	return []string{
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// status is 0 while nobody answers.
func status(url string) int {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func awaitReadme(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(readmePatience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", readmePatience, what)
		}
	}
}

// endGroup ends a process that this test started, and those it started.
func endGroup(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}
