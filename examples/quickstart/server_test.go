package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
)

// patience is how long anything may take before a test gives up on it.
const patience = 30 * time.Second

var (
	binary     string // of the quickstart
	buildFlags []string
)

func TestMain(m *testing.M) { leaktest.Main(built{m}) }

// built runs the tests with the binary that they drive.
type built struct{ m *testing.M }

// Run builds, tests and removes the binary.
func (b built) Run() int {
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "quickstart")
	out, err := exec.Command("go", append(append([]string{"build", "-o", binary}, buildFlags...), ".")...).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return b.m.Run()
}

// server is a running quickstart.
type server struct {
	cmd    *exec.Cmd
	addr   string
	url    string
	stderr *testserver.Output
	ended  chan struct{} // closed when the process has ended
}

// start runs the quickstart and waits until it listens. Without an address a
// free port is used.
func start(t *testing.T, db string, args ...string) *server {
	t.Helper()
	s := launch(t, append([]string{"-addr", "127.0.0.1:0", "-db", db}, args...)...)
	listens := regexp.MustCompile(`http://([^/]+)/`)
	await(t, "the quickstart to listen", func() bool {
		m := listens.FindStringSubmatch(s.stderr.String())
		if m != nil {
			s.addr, s.url = m[1], "http://"+m[1]
		}
		return m != nil || s.hasEnded()
	})
	if s.addr == "" {
		t.Fatalf("the quickstart ended at once: %s", s.stderr)
	}
	return s
}

// restart runs it again on the same address.
func (s *server) restart(t *testing.T, db string, args ...string) *server {
	t.Helper()
	return start(t, db, append([]string{"-addr", s.addr}, args...)...)
}

func launch(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(binary, args...), stderr: &testserver.Output{}, ended: make(chan struct{})}
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		s.cmd.Wait()
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() && s.stderr.String() != "" {
			t.Logf("stderr of the quickstart:\n%s", s.stderr)
		}
		if strings.Contains(s.stderr.String(), "DATA RACE") {
			t.Error("the race detector found something in the quickstart")
		}
	})
	return s
}

// kill is kill -9.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// stop sends the signal and returns the exit code and the time it took.
func (s *server) stop(t *testing.T, sig os.Signal) (code int, took time.Duration) {
	t.Helper()
	begun := time.Now()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.ended
		t.Fatalf("it did not end after %v: %v", sig, s.stderr)
	}
	return s.cmd.ProcessState.ExitCode(), time.Since(begun)
}

func (s *server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. It keeps no connection, so that none is left behind.
func do(ctx context.Context, method, url, contentType string, body io.Reader) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

func (s *server) do(t *testing.T, method, path, contentType, body string) answer {
	t.Helper()
	a, err := do(t.Context(), method, s.url+path, contentType, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// append stores one event and returns its cursor.
func (s *server) append(t *testing.T, event string) string {
	t.Helper()
	a := s.do(t, "POST", "/events", "application/json", event)
	if a.status != http.StatusCreated {
		t.Fatalf("appending %s: got %d %s", event, a.status, a.body)
	}
	return decode[appended](t, a.body).Cursor
}

type appended struct {
	Cursor    string
	Count     int
	Duplicate bool
}

type health struct {
	Status, Epoch string
	Floor, Head   uint64
}

func (s *server) health(t *testing.T) health {
	t.Helper()
	a := s.do(t, "GET", "/healthz", "", "")
	if a.status != http.StatusOK {
		t.Fatalf("/healthz: got %d %s", a.status, a.body)
	}
	return decode[health](t, a.body)
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}

// frame is a block of an event stream.
type frame struct{ name, id, data string }

// frames opens the stream and hands over each whole frame until the stream
// ends or the function returns false.
func frames(ctx context.Context, url, lastEventID string, each func(frame) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("got %d %s", resp.StatusCode, text)
	}
	var f frame
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // the frame that was cut is not handed over
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			f.name = value
		case "id":
			f.id = value
		case "data":
			f.data += value
		case "":
			if line == "\n" && f != (frame{}) {
				if !each(f) {
					return nil
				}
				f = frame{}
			}
		}
	}
}
