package testserver

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy is a TCP relay on loopback whose connections a test can cut, freeze, or
// send to another server. What needs more uses Toxiproxy, in a module of its own.
type Proxy struct {
	Addr string // host:port to connect to
	Port int    // the number in Addr

	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	target  string
	rewrite [2][]byte
	conns   map[net.Conn]bool
	frozen  chan struct{} // not nil: nothing is relayed until it is closed
	closed  bool
}

// StartProxy relays a free loopback port to the given one; it ends with the
// test.
func StartProxy(tb testing.TB, port int) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), Port: l.Addr().(*net.TCPAddr).Port, listener: l,
		target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		conns:  map[net.Conn]bool{},
	}
	p.wg.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Point sends new connections to another server.
func (p *Proxy) Point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Rewrite replaces a text in what the server sends by one of the same length.
func (p *Proxy) Rewrite(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rewrite = [2][]byte{[]byte(from), []byte(to)}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.relay(client) })
	}
}

func (p *Proxy) relay(client net.Conn) {
	defer func() { _ = client.Close() }() // only frees it
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // the client sees its connection close
	}
	defer func() { _ = server.Close() }() // only frees it
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(server, client, false) })
	wg.Go(func() { p.copy(client, server, true) })
	wg.Wait()
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.closed
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

func (p *Proxy) copy(to, from net.Conn, reply bool) {
	defer func() { _ = to.Close() }()   // only frees it
	defer func() { _ = from.Close() }() // only frees it
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		frozen, rewrite := p.now()
		if frozen != nil {
			<-frozen
		}
		piece := buf[:n]
		if reply && len(rewrite[0]) > 0 {
			piece = bytes.ReplaceAll(piece, rewrite[0], rewrite[1])
		}
		if n > 0 {
			if _, err := to.Write(piece); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// now returns what the test has set.
func (p *Proxy) now() (frozen <-chan struct{}, rewrite [2][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen, p.rewrite
}

// Cut closes every connection; new ones are accepted.
func (p *Proxy) Cut() (connections int) {
	p.Thaw()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	return len(p.conns)
}

// Freeze lets nothing through, without closing anything: half-open connections
// look like that. Thaw ends it.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze; what was held back is sent.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.wg.Wait()
}
