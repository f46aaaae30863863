package sse

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// leavers notices clients that leave, by one epoll(7) for all. Go's own poller
// waits for it, so it holds no thread.
type leavers struct {
	file *os.File
	raw  syscall.RawConn

	mu      sync.Mutex
	watched []watchedStream // by file descriptor
	serial  int32
}

// watchedStream has a number of its own, since its file descriptor may belong to
// another one by the time that it is heard of.
type watchedStream struct {
	stream *stream
	serial int32
}

// newLeavers returns nil if there is no epoll to be had.
func newLeavers() *leavers {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	_ = syscall.SetNonblock(fd, true) // so that os takes it for one that can be waited for
	l := &leavers{file: os.NewFile(uintptr(fd), "epoll")}
	if l.raw, err = l.file.SyscallConn(); err == nil {
		err = l.file.SetReadDeadline(time.Time{}) // fails where it cannot be waited for
	}
	if err != nil {
		_ = l.file.Close()
		return nil
	}
	return l
}

// add watches the connection of the stream, or reports that it cannot.
func (l *leavers) add(s *stream, raw syscall.RawConn) bool {
	watched := false
	_ = raw.Control(func(fd uintptr) {
		event := l.register(s, int(fd))
		_ = l.raw.Control(func(epoll uintptr) {
			watched = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, int(fd), &event) == nil
		})
	})
	return watched
}

func (l *leavers) register(s *stream, fd int) syscall.EpollEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	for fd >= len(l.watched) {
		l.watched = append(l.watched, watchedStream{})
	}
	l.serial++
	l.watched[fd] = watchedStream{s, l.serial}
	s.parked.fd = fd
	return syscall.EpollEvent{Events: syscall.EPOLLRDHUP | oneShot, Fd: int32(fd), Pad: l.serial}
}

const oneShot = 1 << 30 // EPOLLONESHOT: package syscall has it as a negative number on some architectures

// remove is called before the connection is closed, which ends the watch.
func (l *leavers) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fd := s.parked.fd; fd >= 0 {
		l.watched[fd] = watchedStream{}
	}
}

// run ends the streams whose clients leave, until close.
func (l *leavers) run() {
	var events [128]syscall.EpollEvent
	for {
		var n int
		err := l.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		if err != nil {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if s := l.find(e); s != nil {
				s.left()
			}
		}
	}
}

func (l *leavers) find(e syscall.EpollEvent) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.watched[e.Fd]; w.serial == e.Pad {
		return w.stream
	}
	return nil
}

func (l *leavers) close() { _ = l.file.Close() }
