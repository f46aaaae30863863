package e2e_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// origin is a server that moves: drained once, killed once, each time to
// another port, while events are appended.
type origin struct {
	t     *testing.T
	log   *memlog.Log
	proxy *cuttingProxy
	url   string // through the proxy, from the first event on

	handler *sse.Handler
	server  *httptest.Server
}

func newOrigin(t *testing.T) *origin {
	o := &origin{t: t, log: memlog.New(nil), proxy: newCuttingProxy(t)}
	o.url = "http://" + o.proxy.listener.Addr().String() + "/?after=beginning"
	o.start()
	t.Cleanup(func() {
		_ = o.handler.Close()
		o.server.CloseClientConnections()
		o.server.Close()
	})
	return o
}

func (o *origin) start() {
	handler, err := sse.NewHandler(o.log, &sse.Options{
		Retry: 20 * time.Millisecond, Heartbeat: 200 * time.Millisecond, CORS: &sse.CORS{Origins: []string{"*"}},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.handler, o.server = handler, httptest.NewServer(handler)
	o.proxy.redirect(o.server.Listener.Addr().String())
}

// feed appends that many events: a third at once, then, when the client has
// started, the rest with a drain and a kill on the way.
func (o *origin) feed(ctx context.Context, n int, started <-chan struct{}) {
	for i := range n {
		if i == n/3 {
			select {
			case <-started:
			case <-ctx.Done():
				return
			}
		}
		e := cdc.Event{Topic: "t", Type: "x\ny", Key: "ä", Data: []byte(`{"n":` + strconv.Itoa(i) + `,"text":"` + strings.Repeat("x", 50) + `"}`)}
		if _, err := o.log.Append(ctx, e); err != nil {
			o.t.Error(err)
			return
		}
		handler, server := o.handler, o.server
		switch {
		case i == n/2: // drained
			o.start()
			_ = handler.Close()
			go server.Close() // waits for connections that the proxy keeps
		case i == n*3/4: // killed
			o.start()
			server.CloseClientConnections()
			_ = handler.Close()
			go server.Close()
		case i > n/3 && i%50 == 0:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// cuttingProxy passes connections on and cuts each after a random number of
// bytes of the response.
type cuttingProxy struct {
	listener net.Listener
	mu       sync.Mutex
	target   string
	cuts     int
}

func newCuttingProxy(t *testing.T) *cuttingProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{listener: l}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(client, 1+rand.Int64N(200_000))
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *cuttingProxy) redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *cuttingProxy) pass(client net.Conn, bytes int64) {
	p.mu.Lock()
	target := p.target
	p.cuts++
	p.mu.Unlock()
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := client.Read(buf)
			if err != nil {
				_ = server.Close()
				return
			}
			_, _ = server.Write(buf[:n])
		}
	}()
	buf := make([]byte, 4096)
	for bytes > 0 {
		n, err := server.Read(buf[:min(bytes, int64(len(buf)))])
		if err != nil {
			return
		}
		bytes -= int64(n)
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// page is an empty page of another origin.
func page(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>page</title>"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}
