package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fleet is processes of this program that are killed and started again. All its
// methods may be called concurrently.
type Fleet struct {
	args  func(i int) []string
	kills atomic.Int64
	turn  atomic.Int64

	mu    sync.Mutex
	procs []*process // nil while it is down
}

type process struct {
	addr  string // its first line
	cmd   *exec.Cmd
	stdin io.Closer
}

// StartFleet starts this program n times with the arguments of each, and waits for
// its first line. They end with ctx; group waits for that.
func StartFleet(ctx context.Context, group *sync.WaitGroup, n int, args func(i int) []string) (*Fleet, error) {
	f := &Fleet{args: args, procs: make([]*process, n)}
	group.Go(func() {
		<-ctx.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range f.procs {
			p.kill()
		}
	})
	for i := range f.procs {
		if err := f.start(ctx, i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context, i int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, f.args(i)...) //nolint:gosec // it is this program
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	p.addr = strings.TrimSpace(line)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || ctx.Err() != nil {
		p.kill()
		return errors.Join(err, context.Cause(ctx))
	}
	f.procs[i] = p
	return nil
}

func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		_ = p.stdin.Close()
		_ = p.cmd.Wait() // it was killed
	}
}

// next returns the addresses of those that run, beginning with the one whose turn
// it is.
func (f *Fleet) next() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := int(f.turn.Add(1))
	var addrs []string
	for i := range f.procs {
		if p := f.procs[(first+i)%len(f.procs)]; p != nil {
			addrs = append(addrs, p.addr)
		}
	}
	return addrs
}

// Kills is how many were killed.
func (f *Fleet) Kills() int64 { return f.kills.Load() }

// KillEvery kills one after the other with SIGKILL and starts it again, until ctx
// ends.
func (f *Fleet) KillEvery(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(f.procs) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		f.procs[i].kill()
		f.procs[i] = nil
		f.mu.Unlock()
		f.kills.Add(1)
		if err := f.start(ctx, i); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "cluster: a process did not come back:", err)
			return
		}
	}
}
