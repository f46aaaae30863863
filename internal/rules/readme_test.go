package rules_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

const patience = 2 * time.Minute

// TestMakeRunServesThePage needs nothing but Go, make and curl, and sends what
// the README does.
func TestMakeRunServesThePage(t *testing.T) {
	need(t, "make", "curl", "bash")
	addr := testserver.FreeAddr(t)
	start(t, exec.Command("make", "run", "ADDR="+addr, "DB="+filepath.Join(t.TempDir(), "run.db")))
	await(t, "make run to serve the page", func() bool { return status("http://"+addr+"/") == http.StatusOK })
	for _, text := range blocksFor(t, "README.md", t.Name()) {
		out := runShell(t, ".", t.TempDir(), "bash", "set -u\n"+strings.ReplaceAll(text, "127.0.0.1:8080", addr)+"true\n")
		for _, want := range []string{`{"cursor":"`, "event: cdc.hello\n", `"type":"order.created","key":"o-1"`} {
			if !strings.Contains(out, want) {
				t.Errorf("the README's commands print\n%s\nwithout %s", out, want)
			}
		}
	}
}

// TestTheProgramOfTheREADME builds the README's program, sends it an order
// while a client follows, and ends it: the stream ends with it.
func TestTheProgramOfTheREADME(t *testing.T) {
	addr := testserver.FreeAddr(t)
	cmd := startTheProgram(t, addr)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	stream, err := client.Get("http://" + addr + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	posted, err := client.Post("http://"+addr+"/orders", "application/json", strings.NewReader(`{"total":42}`))
	if err != nil {
		t.Fatal(err)
	}
	posted.Body.Close()
	if posted.StatusCode != http.StatusNoContent {
		t.Errorf("an order is answered with %s", posted.Status)
	}
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), `"type":"order.created"`) {
		n, err := stream.Body.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v after\n%s", err, seen.String())
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stream.Body)
	if err != nil || !strings.Contains(string(rest), "event: cdc.reconnect\n") {
		t.Errorf("at its end the program tells its clients %q, %v", rest, err)
	}
}

// startTheProgram builds the program that the README shows, and starts it at
// another address, in a folder of its own.
func startTheProgram(t *testing.T, addr string) *exec.Cmd {
	t.Helper()
	program := ""
	for _, b := range blocksOf("README.md", read(t, "README.md")) {
		if b.lang == "go" && strings.HasPrefix(b.text, "package main\n") {
			program = strings.ReplaceAll(b.text, "127.0.0.1:8080", addr)
		}
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	if err := os.WriteFile(source, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	cmd.Dir = dir
	start(t, cmd)
	await(t, "the program to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		return err == nil && conn.Close() == nil
	})
	return cmd
}

// start starts a process that ends, with all that it starts, with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out testserver.Output
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(out.String())
		}
	})
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

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
