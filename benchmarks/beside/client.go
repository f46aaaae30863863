package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// patience is how long the last frames may take.
const patience = 15 * time.Second

// process is a server and its clients.
type process struct {
	cmd           *exec.Cmd
	stdin         io.Closer
	streams       *net.TCPAddr
	control       string
	path, history string // of a stream from now on, and from the beginning

	clients *sockets
}

// start starts the server of a library that keeps so many events.
func start(l peers.Library, keep int) (*process, error) {
	p := &process{cmd: exec.Command(l.Program)}
	var err error
	if l.Program == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.cmd = exec.Command(exe, serverCommand, l.Name, strconv.Itoa(keep))
	}
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
	var hello control.Address
	if err = json.NewDecoder(stdout).Decode(&hello); err == nil {
		p.control, p.path, p.history = hello.Control, hello.Path, hello.History
		p.streams, err = net.ResolveTCPAddr("tcp4", hello.Streams)
	}
	if err == nil {
		p.clients, err = newSockets(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server of %s: %w", l.Name, err), p.stdin.Close(), p.cmd.Wait())
	}
	return p, nil
}

func (p *process) stop() error {
	p.clients.close()
	return errors.Join(p.stdin.Close(), p.cmd.Wait())
}

// ask asks the control for something, which it stores in answer if that is not nil.
func (p *process) ask(method, what string, answer any) error {
	return p.tell(method, what, nil, answer)
}

// tell is ask with something that the control needs to know.
func (p *process) tell(method, what string, known, answer any) error {
	text, err := json.Marshal(known)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, "http://"+p.control+what, bytes.NewReader(text))
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

func (p *process) usage(collect string) (u control.Usage, err error) {
	return u, p.ask(http.MethodGet, "/usage?collect="+collect, &u)
}

// profile writes a CPU profile of the server to a file while f runs, unless the
// folder is empty.
func (p *process) profile(folder, name string, f func() error) error {
	if folder == "" {
		return f()
	}
	if err := p.ask(http.MethodPost, "/profile?file="+filepath.Join(folder, name+".pprof"), nil); err != nil {
		return err
	}
	return errors.Join(f(), p.ask(http.MethodPost, "/profile", nil))
}

// open opens a stream.
func (p *process) open(clients *sockets, path string) error {
	return clients.open(p.streams, fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, p.streams))
}

// connect opens streams until there are n, and waits until all get events.
func (p *process) connect(clients *sockets, n int) error {
	for _, have, _ := clients.counts(); have < n; have++ {
		if err := p.open(clients, p.path); err != nil {
			return err
		}
	}
	// Each of these events is one for all that are open already.
	deadline, pause := time.Now().Add(3*time.Minute), 20*time.Millisecond
	for {
		switch opened, _, _ := clients.counts(); {
		case opened >= n:
			time.Sleep(200 * time.Millisecond) // the last of these events
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d of %d clients get events", opened, n)
		}
		if err := p.ask(http.MethodPost, "/open", nil); err != nil {
			return err
		}
		time.Sleep(pause)
		pause = min(2*pause, time.Second)
	}
}

// load is what publishing events costs the server.
type load struct {
	events, frames, lost int64
	cpu, allocs          float64 // ns, and a number, a frame
	wall                 time.Duration
}

// missing is what did not arrive, in percent.
func (l load) missing() float64 { return 100 * float64(l.lost) / float64(max(1, l.lost+l.frames)) }

// publish publishes events and waits until all clients have them.
func (p *process) publish(events control.Load) (l load, err error) {
	before, err := p.usage("")
	if err != nil {
		return l, err
	}
	_, clients, first := p.clients.counts()
	begin := time.Now()
	if err := p.tell(http.MethodPost, "/publish", events, &l.events); err != nil {
		return l, err
	}
	want := l.events * int64(clients)
	for end := time.Now().Add(patience); l.frames < want && time.Now().Before(end); time.Sleep(time.Millisecond) {
		_, _, frames := p.clients.counts()
		l.frames = frames - first
	}
	l.wall, l.lost = time.Since(begin), want-l.frames
	after, err := p.usage("")
	if got := float64(max(1, l.frames)); err == nil {
		l.cpu, l.allocs = float64(after.CPU-before.CPU)/got, float64(after.Mallocs-before.Mallocs)/got
	}
	return l, err
}

// fill publishes events that nobody waits for, many at once.
func (p *process) fill(n int) error {
	return p.ask(http.MethodPost, "/fill?n="+strconv.Itoa(n), nil)
}
