package bank_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// instanceEnv makes the test binary an instance of the worker, by a spec.
const instanceEnv = "GAPLESS_BANK_INSTANCE"

// instancesOfAStore is how many instances of the worker there are.
const instancesOfAStore = 4

func TestMain(m *testing.M) {
	if text := os.Getenv(instanceEnv); text != "" {
		fmt.Fprintln(os.Stderr, work(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// spec of an instance.
type spec struct {
	driver, dsn string
	term        time.Duration
	fenced      bool
}

func (s spec) String() string {
	return strings.Join([]string{s.driver, s.dsn, s.term.String(), strconv.FormatBool(s.fenced)}, "\n")
}

func parseSpec(text string) (s spec, err error) {
	lines := strings.Split(text, "\n")
	s = spec{driver: lines[0], dsn: lines[1], fenced: lines[3] == "true"}
	s.term, err = time.ParseDuration(lines[2])
	return s, err
}

func (s spec) options() *cdc.ConsumeOptions {
	return &cdc.ConsumeOptions{
		Start: cdc.Beginning(), BatchSize: 20, Term: s.term, MaxPause: 100 * time.Millisecond, MaxTries: -1,
		OnActive: func(l cdc.Lease) { fmt.Println("active", l.Generation, os.Getpid()) },
	}
}

// work is the process of an instance. It tells when it is the active one.
func work(text string) error {
	ctx := context.Background()
	s, err := parseSpec(text)
	if err != nil {
		return err
	}
	if s.driver == "bolt" {
		return workBolt(ctx, s)
	}
	b, err := open(ctx, s.driver, s.dsn)
	if err != nil {
		return err
	}
	var g sync.RWMutex
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			g.Lock()                           // no call is under way,
			time.Sleep(100 * time.Millisecond) // and one that was given up has ended
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			g.Unlock()
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // the campaign is gone
	}()
	return b.consume(ctx, how{s.fenced, &g, s.options()})
}

// strike is what is done to the active instance.
type strike int

const (
	kill    strike = iota // with -9, and another one is started
	freeze                // anywhere, until another has followed and worked
	rest                  // the same while no call of its place is under way
	between               // the same while it locks no file for itself
)

// instances are the processes of a campaign.
type instances struct {
	t     *testing.T
	spec  spec
	ended sync.WaitGroup

	mu      sync.Mutex
	running map[int]*process
	active  int           // process of the one that was active last; -1: none was yet
	lease   uint64        // generation of its lease: it may tell late
	who     string        // it is, in its process
	changed chan struct{} // closed when another one is active
	next    int
	target  int // how many transfers there are to be, for those who append themselves
	handled int // as they told
}

type process struct {
	*exec.Cmd
	in io.Writer
}

func startInstances(t *testing.T, s spec) *instances {
	t.Helper()
	in := &instances{t: t, spec: s, running: map[int]*process{}, active: -1, changed: make(chan struct{})}
	for range in.processes() {
		in.start()
	}
	t.Cleanup(in.killAll)
	return in
}

// processes is how many there are.
func (in *instances) processes() int {
	if in.spec.driver == "bolt" {
		return 1
	}
	return instancesOfAStore
}

func (in *instances) killAll() {
	in.mu.Lock()
	for n, p := range in.running {
		delete(in.running, n)
		_ = p.Process.Kill()
	}
	in.active = -1
	in.mu.Unlock()
	in.ended.Wait()
}

func (in *instances) start() {
	in.t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	n := in.next
	in.next++
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), instanceEnv+"="+in.spec.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		in.t.Fatal(err)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		in.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	fmt.Fprintln(input, in.target)
	in.running[n] = &process{cmd, input}
	in.ended.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			in.tells(n, lines.Text())
		}
		err := cmd.Wait()
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.running[n] != nil {
			in.t.Errorf("instance %d ended by itself: %v", n, err)
		}
	})
}

// append makes them add transfers until there are so many.
func (in *instances) append(target int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.target = target
	for _, p := range in.running {
		fmt.Fprintln(p.in, target)
	}
}

// tells takes note of a line of a process.
func (in *instances) tells(process int, line string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var lease uint64
	var who string
	if _, err := fmt.Sscanf(line, "handled %d", &in.handled); err == nil {
		return
	}
	if _, err := fmt.Sscanf(line, "active %d %s", &lease, &who); err != nil {
		in.t.Errorf("instance %d tells %q", process, line)
		return
	}
	if lease < in.lease || in.running[process] == nil { // what it told before it was killed may come late
		return
	}
	another := process != in.active || who != in.who
	in.active, in.lease, in.who = process, lease, who
	if another {
		close(in.changed)
		in.changed = make(chan struct{})
	}
}

// waitActive returns when one is active.
func (in *instances) waitActive() {
	in.t.Helper()
	in.mu.Lock()
	none, changed := in.active < 0, in.changed
	in.mu.Unlock()
	if none {
		in.await(changed)
	}
}

func (in *instances) await(changed <-chan struct{}) {
	in.t.Helper()
	patience := 2 * time.Minute
	if !in.spec.fenced {
		patience = 3 * in.spec.term // one that took itself for the active one is not followed
	}
	select {
	case <-changed:
	case <-time.After(patience):
		if in.spec.fenced {
			in.t.Fatalf("no other instance is active after %v", patience)
		}
	}
}

// strike hits the active instance and returns how long it takes until another
// one is active. Then it calls after, and lets one that was stopped go on.
func (in *instances) strike(s strike, after func()) time.Duration {
	in.t.Helper()
	in.mu.Lock()
	n := in.active
	p, changed := in.running[n], in.changed
	if s == kill {
		delete(in.running, n)
	}
	in.mu.Unlock()
	if p == nil {
		in.t.Fatal("no instance is active")
	}
	begin := time.Now()
	switch s {
	case kill:
		_ = p.Process.Kill()
		in.start()
	case freeze:
		_ = p.Process.Signal(syscall.SIGSTOP)
	case between:
		p.stopBetween(in.t)
	case rest:
		_ = p.Process.Signal(syscall.SIGUSR1)
	}
	in.await(changed)
	took := time.Since(begin)
	after()
	switch s {
	case freeze, between:
		_ = p.Process.Signal(syscall.SIGCONT)
	case rest:
		go p.wake()
	}
	return took
}

// wake lets a process go on that has been told to stop itself, which it may do
// later only.
func (p *process) wake() {
	for range 100 {
		_ = p.Process.Signal(syscall.SIGCONT)
		time.Sleep(100 * time.Millisecond)
	}
}
