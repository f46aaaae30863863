package sse

import (
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall has not on
// every architecture.
const tcpUserTimeout = 18

func setUserTimeout(fd uintptr, timeout time.Duration) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(max(1, timeout.Milliseconds())))
}
