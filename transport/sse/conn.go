package sse

import (
	"context"
	"iter"
	"net"
	"syscall"
)

// ConnContext makes the connections of a server notice a peer that has vanished
// without a word, such as a phone whose battery is empty. It is for
//
//	server.ConnContext = handler.ConnContext
//
// and may also be called by a ConnContext of the application. Timeouts.Write
// alone does not notice: heartbeats fit in the buffers of the kernel, which goes
// on sending them for a quarter of an hour. With it a connection ends when what
// was sent on it is not acknowledged within Timeouts.Write: its stream is gone
// that long after the next heartbeat. It is of effect on Linux
// (TCP_USER_TIMEOUT), and where Timeouts.Write is not negative.
//
// It also lets a stream over HTTP/1.0, as nginx asks its servers by default,
// end with a TCP reset when it is cut: there every other end is that of a whole
// body.
func (h *Handler) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if timeout := h.opts.Timeouts.Write; timeout > 0 {
		if raw := rawConn(conn); raw != nil {
			// Without it the connection works, and lives longer when it is dead.
			_ = raw.Control(func(fd uintptr) { setUserTimeout(fd, timeout) })
		}
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// rawConn looks for the socket under TLS and whatever else wraps it.
func rawConn(conn net.Conn) syscall.RawConn {
	for layer := range connLayers(conn) {
		if c, ok := layer.(syscall.Conn); ok {
			raw, err := c.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
	}
	return nil
}

// connLayers are the connection and those that it wraps, as *tls.Conn does.
func connLayers(conn net.Conn) iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		for yield(conn) {
			wrapper, ok := conn.(interface{ NetConn() net.Conn })
			if !ok {
				return
			}
			conn = wrapper.NetConn()
		}
	}
}
