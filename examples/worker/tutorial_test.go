package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// TestTheTutorialOfWorkers runs the commands of docs/consumers.md in one shell,
// in an empty folder.
func TestTheTutorialOfWorkers(t *testing.T) {
	for _, program := range []string{"bash", "curl", "awk"} {
		if _, err := exec.LookPath(program); err != nil {
			testserver.Missing(t, program, err.Error())
		}
	}
	page, err := os.ReadFile("../../docs/consumers.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- tested by "+t.Name()+" -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 4 {
		t.Fatalf("docs/consumers.md has %d blocks of the tutorial, this test knows 4", len(blocks))
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sh := startShell(t, dir)
	build := strings.Replace(blocks[0][1], "./examples/worker", ".", 1)
	sh.run("cd " + here + "\n" + strings.Replace(build, "-o bin/", "-o "+dir+"/bin/", 1) + "cd " + dir)
	sh.run(strings.ReplaceAll(blocks[1][1], "127.0.0.1:8080", "127.0.0.1:0"))
	works := regexp.MustCompile(`(?m)^instance \d+ works`)
	url := ""
	sh.await("an instance to work", func(out string) bool {
		if m := regexp.MustCompile(`serving http://(\S+)`).FindStringSubmatch(out); m != nil {
			url = m[1]
		}
		return url != "" && works.MatchString(out)
	})
	sh.run(strings.ReplaceAll(blocks[2][1], "127.0.0.1:8080", url))
	sh.await("the other to work", func(out string) bool { return len(works.FindAllString(out, -1)) == 2 })
	last := strings.ReplaceAll(blocks[3][1], "127.0.0.1:8080", url)
	want := regexp.MustCompile(`# (\{.*\})\n`).FindStringSubmatch(last)[1] + "\n40\n"
	got := ""
	for deadline := time.Now().Add(patience); got != want; time.Sleep(20 * time.Millisecond) {
		if got = sh.run(last); time.Now().After(deadline) {
			t.Fatalf("the last block printed\n%swant\n%s", got, want)
		}
	}
}

// shell runs commands, one block after the other.
type shell struct {
	t   *testing.T
	dir string
	in  *os.File
	out *bufio.Reader
}

func startShell(t *testing.T, dir string) *shell {
	t.Helper()
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-eu")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, in, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_, _ = in.Close(), to.Close()
		_ = cmd.Wait() // it was killed
	})
	return &shell{t, dir, to, bufio.NewReader(out)}
}

// run returns what the commands print.
func (s *shell) run(commands string) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\necho --- done\n", commands); err != nil {
		s.t.Fatal(err)
	}
	printed := ""
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the shell ended in\n%s", commands)
		}
		if line == "--- done\n" {
			return printed
		}
		printed += line
	}
}

// await waits until what the program has printed is as it should be.
func (s *shell) await(what string, ok func(out string) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, err := os.ReadFile(filepath.Join(s.dir, "worker.out"))
		if err == nil && ok(string(out)) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %v for %s: %v\n%s", patience, what, err, out)
		}
	}
}
