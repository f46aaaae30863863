package e2e_test

import (
	"net"
	"sync"
	"testing"
)

// relay accepts TCP connections and has each served together with one of its
// own to the target. The end of the test ends them all.
type relay struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

// start listens and has serve called for each connection.
func (r *relay) start(t *testing.T, target string, serve func(client, server net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listener, r.target, r.conns = l, target, map[net.Conn]struct{}{}
	r.group.Go(func() { r.accept(serve) })
	t.Cleanup(r.close)
}

func (r *relay) addr() string { return r.listener.Addr().String() }

func (r *relay) accept(serve func(client, server net.Conn)) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.group.Go(func() {
			defer client.Close()
			server, err := net.Dial("tcp", r.target)
			if err != nil {
				return
			}
			defer server.Close()
			if r.enter(client, server) {
				defer r.leave(client, server)
				serve(client, server)
			}
		})
	}
}

func (r *relay) enter(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		r.conns[conn] = struct{}{}
	}
	return !r.ended
}

func (r *relay) leave(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.conns, conn)
	}
}

func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.ended = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
}
