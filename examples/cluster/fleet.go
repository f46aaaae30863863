package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// startRedis starts a private redis-server on a free loopback port. It ends with
// ctx.
func startRedis(ctx context.Context, group *sync.WaitGroup) (addr string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr = listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := listener.Close(); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "gapless-cluster-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes")
	if err := cmd.Start(); err != nil {
		return "", errors.Join(fmt.Errorf("cannot start redis-server: install it: %w", err), os.RemoveAll(dir))
	}
	group.Go(func() {
		_ = cmd.Wait() // killed with ctx
		_ = os.RemoveAll(dir)
	})
	for range 500 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return addr, conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", fmt.Errorf("redis-server does not listen on %s after 5 s", addr)
}

// fleet is the server processes.
type fleet struct {
	redis string
	kills atomic.Int64
	turn  atomic.Int64

	mu    sync.Mutex
	nodes []*node
}

type node struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.Closer
}

// startFleet starts n servers, which end with ctx.
func startFleet(ctx context.Context, group *sync.WaitGroup, n int, redisAddr string) (*fleet, error) {
	f := &fleet{redis: redisAddr, nodes: make([]*node, n)}
	group.Go(func() {
		<-ctx.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, node := range f.nodes {
			node.kill()
		}
	})
	for i := range f.nodes {
		if err := f.start(ctx, i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context, i int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "-serve", f.redis)
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n := &node{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	n.addr = strings.TrimSpace(line)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || ctx.Err() != nil {
		n.kill()
		return errors.Join(err, context.Cause(ctx))
	}
	f.nodes[i] = n
	return nil
}

func (n *node) kill() {
	if n != nil {
		_ = n.cmd.Process.Kill()
		_ = n.stdin.Close()
		_ = n.cmd.Wait() // it was killed
	}
}

// next returns the servers' addresses, beginning with the one whose turn it is.
func (f *fleet) next() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := int(f.turn.Add(1))
	var addrs []string
	for i := range f.nodes {
		if n := f.nodes[(first+i)%len(f.nodes)]; n != nil {
			addrs = append(addrs, n.addr)
		}
	}
	return addrs
}

// killEvery kills one server after the other with SIGKILL and starts it again.
func (f *fleet) killEvery(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(f.nodes) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		f.nodes[i].kill()
		f.nodes[i] = nil
		f.mu.Unlock()
		f.kills.Add(1)
		if err := f.start(ctx, i); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "cluster: a server did not come back:", err)
			return
		}
	}
}
