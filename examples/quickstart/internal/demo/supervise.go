package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"
)

const (
	// childEnv marks the process that serves.
	childEnv = "GAPLESS_DEMO_CHILD"
	// restartPause is how long nothing serves after a kill. It is shorter than
	// what clients wait before they connect again.
	restartPause = 300 * time.Millisecond
)

// ErrChild says that the process that serves failed, and has said why.
var ErrChild = errors.New("demo: the server failed")

// Supervised reports whether this is the process that serves.
func Supervised() bool { return os.Getenv(childEnv) != "" }

// Supervise runs this program again with the arguments, as a process that
// serves at the address and has the demonstration, until ctx ends or that
// process does. When it is killed another takes its place.
func Supervise(ctx context.Context, args []string, addr string, stderr io.Writer) error {
	if !isLoopback(addr) {
		return fmt.Errorf("-demo lets everyone who reaches %s kill the server: give a loopback address such as 127.0.0.1:8080, or leave -demo out", addr)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	addr, err = settle(addr)
	if err != nil {
		return err
	}
	for {
		state, err := runChild(ctx, program, slices.Concat(args, []string{"-addr", addr}), stderr)
		switch {
		case err != nil:
			return err
		case state.Success():
			return nil
		case state.Exited():
			return ErrChild
		case ctx.Err() != nil:
			return nil
		}
		fmt.Fprintf(stderr, "quickstart: process %d: %v; starting it again\n", state.Pid(), state)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartPause):
		}
	}
}

// settle chooses a port, if the address names none, that all processes use.
func settle(addr string) (string, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return addr, nil // the child says what is wrong with it
	}
	return listener.Addr().String(), listener.Close()
}

// runChild returns how the process ended. The end of its standard input tells
// it that nobody wants it any more, even if this process was killed.
func runChild(ctx context.Context, program string, args []string, stderr io.Writer) (*os.ProcessState, error) {
	child := exec.Command(program, args...)
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stderr = stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = stdin.Close() })
	defer stop()
	if err := child.Wait(); child.ProcessState == nil {
		return nil, err
	}
	return child.ProcessState, nil
}

// WhileSupervised ends the context with the process that supervises this one.
func WhileSupervised(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // it ends with the process, nothing else is read from there
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, cancel
}
