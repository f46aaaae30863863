package testserver

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy is a TCP relay on loopback whose connections a test can cut or freeze.
type Proxy struct {
	Port int

	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	frozen chan struct{} // not nil: nothing is relayed until it is closed
	closed bool
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
		Port: l.Addr().(*net.TCPAddr).Port, listener: l,
		target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		conns:  map[net.Conn]bool{},
	}
	p.wg.Go(p.accept)
	tb.Cleanup(p.close)
	return p
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
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // the client sees its connection close
	}
	defer func() { _ = server.Close() }() // only frees it
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(server, client) })
	wg.Go(func() { p.copy(client, server) })
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

func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }()   // only frees it
	defer func() { _ = from.Close() }() // only frees it
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if thaw := p.wait(); thaw != nil {
			<-thaw
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen
}

// Cut closes every connection; new ones are accepted.
func (p *Proxy) Cut() {
	p.Thaw()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
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
