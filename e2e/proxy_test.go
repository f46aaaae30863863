package e2e_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter is a TCP proxy that cuts each connection after a random number of
// bytes, with a FIN or a reset.
type cutter struct {
	listener net.Listener
	target   string
	limit    int64 // most bytes that a connection carries towards the client
	cuts     atomic.Int64
	open     atomic.Bool // nothing is cut
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

func newCutter(t *testing.T, target string, limit int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, target: target, limit: limit, conns: map[net.Conn]struct{}{}}
	c.group.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

func (c *cutter) addr() string { return c.listener.Addr().String() }

func (c *cutter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.group.Go(func() { c.serve(conn) })
	}
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !c.enter(client, server) {
		return
	}
	defer c.leave(client, server)
	c.group.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	if _, err := io.CopyN(client, server, 1+rand.Int64N(c.limit)); err != nil {
		return // the server has ended it
	}
	if c.open.Load() {
		io.Copy(client, server)
		return
	}
	c.cuts.Add(1)
	if rand.IntN(2) == 0 {
		client.(*net.TCPConn).SetLinger(0)
	}
}

func (c *cutter) enter(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		c.conns[conn] = struct{}{}
	}
	return !c.ended
}

func (c *cutter) leave(conns ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		delete(c.conns, conn)
	}
}

func (c *cutter) close() {
	c.listener.Close()
	c.mu.Lock()
	c.ended = true
	for conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.group.Wait()
}
