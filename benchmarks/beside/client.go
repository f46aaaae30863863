package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
)

// patience is how long the last frames may take.
const patience = 15 * time.Second

// process is a server and its clients.
type process struct {
	cmd                    *exec.Cmd
	stdin                  io.Closer
	streams, control, path string

	conns  []net.Conn
	opened atomic.Int64 // clients that get events
	frames atomic.Int64
}

func start(l peers.Library) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, serverCommand, l.Name)}
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server of %s: %w", l.Name, err), p.stop())
	}
	words := append(strings.Fields(line), "") // the path may be empty
	p.streams, p.control, p.path = words[0], words[1], words[2]
	return p, nil
}

func (p *process) stop() error {
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	return errors.Join(p.stdin.Close(), p.cmd.Wait())
}

// ask asks the control for something, which it stores in answer if that is not nil.
func (p *process) ask(method, what string, answer any) error {
	request, err := http.NewRequest(method, "http://"+p.control+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", what, response.Status, body)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(body, answer)
}

func (p *process) usage(collect string) (u usage, err error) {
	return u, p.ask(http.MethodGet, "/usage?collect="+collect, &u)
}

// connect opens streams until there are n, and waits until all get events.
func (p *process) connect(n, buffer int) error {
	for len(p.conns) < n {
		conn, err := net.Dial("tcp", p.streams)
		if err != nil {
			return err
		}
		p.conns = append(p.conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", p.path, p.streams); err != nil {
			return err
		}
		go p.read(conn, make([]byte, buffer))
	}
	// Each of these events is one for all that are open already.
	deadline, pause := time.Now().Add(3*time.Minute), 20*time.Millisecond
	for p.opened.Load() < int64(n) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d clients get events", p.opened.Load(), n)
		}
		if err := p.ask(http.MethodPost, "/open", nil); err != nil {
			return err
		}
		time.Sleep(pause)
		pause = min(2*pause, time.Second)
	}
	time.Sleep(200 * time.Millisecond) // the last of these events
	return nil
}

// read counts the frames of one client until its connection ends. It looks at
// the bytes no more than that needs: the client has the machine in common with the server.
func (p *process) read(conn net.Conn, buf []byte) {
	open, kept := false, 0
	for {
		n, err := conn.Read(buf[kept:])
		if err != nil {
			return
		}
		text := buf[:kept+n]
		if !open && bytes.Contains(text, []byte(peers.Opening)) {
			open = true
			p.opened.Add(1)
		}
		if frames := bytes.Count(text, []byte(peers.Marker)); frames > 0 {
			p.frames.Add(int64(frames))
		}
		kept = copy(buf, text[max(0, len(text)-len(peers.Marker)+1):])
	}
}

// load is what publishing events costs the server.
type load struct {
	frames, lost int64
	cpu, allocs  float64 // ns, and a number, a frame
	wall         time.Duration
}

// publish publishes n events and waits until all clients have them.
func (p *process) publish(from, n, rate int) (l load, err error) {
	before, err := p.usage("")
	if err != nil {
		return l, err
	}
	first, want := p.frames.Load(), int64(n)*int64(len(p.conns))
	begin := time.Now()
	if err := p.ask(http.MethodPost, fmt.Sprintf("/publish?from=%d&n=%d&rate=%d", from, n, rate), nil); err != nil {
		return l, err
	}
	for end := time.Now().Add(patience); l.frames < want && time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.frames = p.frames.Load() - first
	}
	l.wall, l.lost = time.Since(begin), want-l.frames
	after, err := p.usage("")
	if got := float64(max(1, l.frames)); err == nil {
		l.cpu, l.allocs = float64(after.CPU-before.CPU)/got, float64(after.Mallocs-before.Mallocs)/got
	}
	return l, err
}
