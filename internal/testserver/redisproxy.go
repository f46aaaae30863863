package testserver

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// RedisProxy is a TCP relay on loopback between a client and a server, which a
// test can cut, freeze, slow down, or point to another server.
type RedisProxy struct {
	Addr string // host:port to connect to

	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	target  string
	delay   time.Duration
	rewrite [2][]byte
	frozen  chan struct{} // not nil: nothing is relayed until it is closed
	conns   map[net.Conn]bool
	closed  bool
}

// StartRedisProxy relays a free loopback port to the address; it ends with the
// test.
func StartRedisProxy(tb testing.TB, target string) *RedisProxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &RedisProxy{Addr: l.Addr().String(), listener: l, target: target, conns: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Point sends new connections to another server.
func (p *RedisProxy) Point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Delay holds every piece back for that long, in both directions.
func (p *RedisProxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Rewrite replaces a text in replies by one of the same length.
func (p *RedisProxy) Rewrite(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rewrite = [2][]byte{[]byte(from), []byte(to)}
}

// Cut closes every connection; new ones are accepted.
func (p *RedisProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Freeze lets nothing through, without closing anything. Thaw ends it.
func (p *RedisProxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze; what was held back is sent.
func (p *RedisProxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *RedisProxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Thaw()
	p.Cut()
	p.group.Wait()
}

func (p *RedisProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.group.Go(func() { p.relay(client) })
	}
}

func (p *RedisProxy) relay(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return // the client sees its connection close
	}
	defer func() { _ = server.Close() }()
	if !p.add(client, server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false) })
	both.Go(func() { p.copy(client, server, true) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

func (p *RedisProxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.closed
}

func (p *RedisProxy) copy(to, from net.Conn, reply bool) {
	defer func() { _ = to.Close() }()
	defer func() { _ = from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		piece := p.hold(buf[:n], reply)
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

// hold returns the piece when it may go on.
func (p *RedisProxy) hold(piece []byte, reply bool) []byte {
	p.mu.Lock()
	frozen, delay, rewrite := p.frozen, p.delay, p.rewrite
	p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	time.Sleep(delay)
	if reply && len(rewrite[0]) > 0 {
		return bytes.ReplaceAll(piece, rewrite[0], rewrite[1])
	}
	return piece
}
