package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
)

const patience = time.Minute

var (
	binary     string
	buildFlags []string
)

// suite builds the program once for all tests.
type suite struct{ *testing.M }

// Run implements what leaktest.Main wants.
func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "gapless")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gapless")
	if out, err := exec.Command("go", append(append([]string{"build", "-o", binary}, buildFlags...), ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	defer shared.lasting.End()
	return s.M.Run()
}

func TestMain(m *testing.M) { leaktest.Main(suite{m}) }

// result is what a run of the program left.
type result struct {
	out, err string
	code     int
}

// environment is that of the tests without settings of the program. With the
// race detector a process would sleep for a second before it ends.
func environment() []string {
	env := []string{"GORACE=atexit_sleep_ms=0"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GAPLESS_") {
			env = append(env, v)
		}
	}
	return env
}

// run runs the program to its end.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return runWith(t, stdin, nil, args...)
}

func runWith(t *testing.T, stdin string, env []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(environment(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return result{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok is the output of a run that must succeed.
func ok(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := run(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("gapless %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// refused runs the program, which must end with the code and say the words.
func refused(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	r := run(t, "", args...)
	if r.code != code {
		t.Errorf("gapless %s: got exit %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	for _, word := range words {
		if !strings.Contains(r.err, word) {
			t.Errorf("gapless %s: got %q, want %q in it", strings.Join(args, " "), r.err, word)
		}
	}
}

// process is a run of the program that goes on.
type process struct {
	cmd   *exec.Cmd
	out   testserver.Output
	err   testserver.Output
	ended chan struct{}
}

// start starts the program; it is killed when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = environment()
	return launch(t, cmd)
}

func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	})
	return p
}

// stop sends the signal and returns the exit code.
func (p *process) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("it did not end\n%s", p.err.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// await waits until the condition holds.
func (p *process) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.ended:
			if !done() {
				t.Fatalf("it ended with exit %d before %s\n%s%s", p.cmd.ProcessState.ExitCode(), what, p.out.String(), p.err.String())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s\n%s%s", patience, what, p.out.String(), p.err.String())
		}
	}
}

// event is what tail writes.
type event struct {
	Cursor string            `json:"cursor"`
	Seq    uint64            `json:"seq"`
	Topic  string            `json:"topic"`
	Type   string            `json:"type"`
	Key    string            `json:"key"`
	ID     string            `json:"id"`
	Data   json.RawMessage   `json:"data"`
	Meta   map[string]string `json:"meta"`
}

// events reads the lines that tail wrote; a last one that was cut is left out.
func events(t *testing.T, text string) []event {
	t.Helper()
	var all []event
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// numbered are lines for append, with an id each.
func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, `{"id":"e-%d","topic":"orders","type":"order.created","key":"o-%d","data":{"n":%d}}`+"\n", i, i, i)
	}
	return b.String()
}
