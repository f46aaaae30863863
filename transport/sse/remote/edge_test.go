package remote_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// cuttingProxy passes connections on and cuts each after a random number of
// bytes of the response, of at most most.
type cuttingProxy struct {
	net.Listener
	mu     sync.Mutex
	target string
	group  sync.WaitGroup
}

func newCuttingProxy(t testing.TB, target string, most int64) *cuttingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{Listener: l, target: target}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.pass(client, 1+rand.Int64N(most)) })
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
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
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

// TestHubOnARemoteLog is an edge process: a Hub on a remote log whose origin is
// appended to and moves, with clients of its own. Each connection on the way is
// cut after a while.
func TestHubOnARemoteLog(t *testing.T) {
	const events = 2000
	log := memlog.New(nil)
	options := &sse.Options{Retry: 10 * time.Millisecond, Heartbeat: 100 * time.Millisecond}
	origin := serve(t, log, options)
	toOrigin := newCuttingProxy(t, origin.Listener.Addr().String(), 40_000)
	edge := serve(t, openThrough(t, toOrigin), options)
	toEdge := newCuttingProxy(t, edge.Listener.Addr().String(), 40_000)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for c := range 10 {
		client := openThrough(t, toEdge)
		group.Go(func() {
			if err := expectNumbers(ctx, client, events); err != nil {
				t.Errorf("client %d: %v", c, err)
			}
		})
	}
	for i := range events {
		appendData(t, log, strconv.Itoa(i))
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
		if i == events/2 { // the origin moves
			second := serve(t, log, options)
			toOrigin.redirect(second.Listener.Addr().String())
			if err := origin.handler.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	group.Wait()
}

func openThrough(t *testing.T, p *cuttingProxy) *remote.Log {
	return open(t, "http://"+p.Addr().String(), &remote.Options{
		Silence: 2 * time.Second, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

// errComplete ends a follower that has all it waits for.
var errComplete = errors.New("complete")

// expectNumbers follows the log until it has had the events 0 to n-1, each
// once and in order.
func expectNumbers(ctx context.Context, log *remote.Log, n int) error {
	next := 0
	err := log.Follow(ctx, remote.Consumer{
		Start: cdc.Beginning(),
		Handle: func(_ context.Context, events []cdc.Event) error {
			for _, e := range events {
				if got := string(e.Data); got != strconv.Itoa(next) {
					return errors.New("event " + got + ", want " + strconv.Itoa(next))
				}
				next++
			}
			if next == n {
				return errComplete
			}
			return nil
		},
	})
	if errors.Is(err, errComplete) {
		return nil
	}
	return err
}
