package soak_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// full reports whether the campaigns have their full size.
func full() bool { return os.Getenv("GAPLESS_SOAK") != "" }

// pick returns the size of a campaign.
func pick[T any](short, soak T) T {
	if full() {
		return soak
	}
	return short
}

// server is a quickstart process on a database and a port that stay the same
// when it is started again.
type server struct {
	t       *testing.T
	binary  string
	db      string
	addr    string
	process *exec.Cmd
}

func newServer(t *testing.T, buildFlags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, binary: filepath.Join(dir, "quickstart"), db: filepath.Join(dir, "gapless.db"), addr: testserver.FreeAddr(t)}
	args := append([]string{"build", "-o", s.binary}, buildFlags...)
	build := exec.Command("go", append(args, "github.com/gapless-go/gapless/examples/quickstart")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() { s.stop(syscall.SIGKILL) })
	s.start()
	return s
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(s.binary, "-addr", s.addr, "-db", s.db)
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(s.url("/healthz"))
		if err == nil {
			resp.Body.Close()
			return
		}
	}
	s.t.Fatal("the server does not answer")
}

// stop ends the process with the signal and waits for it.
func (s *server) stop(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(sig)
	_ = s.process.Wait()
	s.process = nil
}

// memory is the resident memory of the process now, in bytes: its own, and that
// of the mapped file, which the system takes back when it needs it.
func (s *server) memory() (own, file int64) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		s.t.Skipf("no resident size on this system: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "RssAnon" && name != "RssFile" {
			continue
		}
		kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		if name == "RssAnon" {
			own = kb << 10
		} else {
			file = kb << 10
		}
	}
	return own, file
}

// post appends events as NDJSON; the seq of the last is in the cursor returned.
func (s *server) post(ctx context.Context, lines []string) error {
	return testserver.AppendLines(ctx, http.DefaultClient, s.url("/events"), lines)
}
