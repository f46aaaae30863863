package main

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// sockets are clients of a server: connections that one goroutine reads by
// epoll, so that ten thousand of them take little from the machine that they
// have in common with the server. It looks at the bytes no more than it must.
type sockets struct {
	epoll int
	timed bool // delays are wanted
	ended chan struct{}

	mu     sync.Mutex
	all    map[int32]*socket // by file descriptor
	opened int               // clients that get events
	frames int64             // that are counted
	delays []time.Duration   // from when an event should have been published to its arrival
	closed bool
}

// socket is one client. What it has kept may be the beginning of an event.
type socket struct {
	open bool
	kept int
	end  [control.HeadBytes]byte
}

func newSockets(timed bool) (*sockets, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	s := &sockets{epoll: fd, timed: timed, ended: make(chan struct{}), all: map[int32]*socket{}}
	go s.run()
	return s, nil
}

// open connects a client and sends its request.
func (s *sockets) open(addr *net.TCPAddr, request string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to := &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	if err = syscall.Connect(fd, to); err == nil {
		_, err = syscall.Write(fd, []byte(request))
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all[int32(fd)] = &socket{}
		err = errors.Join(syscall.SetNonblock(fd, true),
			syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}))
	}
	if err != nil {
		_ = syscall.Close(fd)
	}
	return err
}

// run reads until close.
func (s *sockets) run() {
	defer close(s.ended)
	ready, buf := make([]syscall.EpollEvent, 256), make([]byte, 128<<10)
	for {
		n, err := syscall.EpollWait(s.epoll, ready, 100)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		for _, e := range ready[:max(0, n)] {
			s.read(e.Fd, buf)
		}
		s.mu.Unlock()
	}
}

// read reads once; s.mu is held.
func (s *sockets) read(fd int32, buf []byte) {
	c := s.all[fd]
	kept := copy(buf, c.end[:c.kept])
	n, err := syscall.Read(int(fd), buf[kept:])
	if n <= 0 && !errors.Is(err, syscall.EAGAIN) {
		delete(s.all, fd)
		_ = syscall.Close(int(fd))
	}
	if n <= 0 {
		return
	}
	text := buf[:kept+n]
	if !c.open && bytes.Contains(text, []byte(control.Opening)) {
		c.open = true
		s.opened++
	}
	c.kept = copy(c.end[:], s.count(text))
}

// count counts the events in the text and returns what may be a part of
// another; s.mu is held.
func (s *sockets) count(text []byte) (rest []byte) {
	now := time.Now()
	for {
		i := bytes.Index(text, []byte(control.Marker))
		if i < 0 {
			return text[max(0, len(text)-len(control.Marker)+1):]
		}
		if text = text[i:]; len(text) < control.HeadBytes {
			return text
		}
		s.frames++
		if s.timed {
			_, at := control.Head(text)
			s.delays = append(s.delays, now.Sub(at))
		}
		text = text[control.HeadBytes:]
	}
}

// counts returns how many clients get events, how many are connected, and how
// many frames have arrived.
func (s *sockets) counts() (opened, connected int, frames int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, len(s.all), s.frames
}

// p99 returns what 99 of 100 delays since the last call were below.
func (s *sockets) p99() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.delays) == 0 {
		return 0
	}
	slices.Sort(s.delays)
	found := s.delays[len(s.delays)*99/100]
	s.delays = s.delays[:0]
	return found
}

// close ends the connections.
func (s *sockets) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	<-s.ended
	for fd := range s.all {
		_ = syscall.Close(int(fd))
	}
	_ = syscall.Close(s.epoll)
}
