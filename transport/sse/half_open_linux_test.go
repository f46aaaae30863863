package sse_test

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// network is a network namespace that is connected to this one.
type network struct {
	name string // of the namespace, and of the link in it
	host string // address of this side
}

// newNetwork ends the test with a visible skip where it may not make one.
func newNetwork(t *testing.T) network {
	t.Helper()
	n := rand.IntN(1 << 14)
	name := fmt.Sprintf("gapless%d", n)
	host, peer := fmt.Sprintf("10.213.%d.%d", n>>6, n<<2&255|1), fmt.Sprintf("10.213.%d.%d", n>>6, n<<2&255|2)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() }) // and the links with it
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", name + "h", "type", "veth", "peer", "name", name, "netns", name},
		{"addr", "add", host + "/30", "dev", name + "h"},
		{"link", "set", name + "h", "up"},
		{"-n", name, "addr", "add", peer + "/30", "dev", name},
		{"-n", name, "link", "set", name, "up"},
	} {
		if err := testserver.IP(t.Context(), args...); err != nil {
			testserver.Missing(t, "netns", err.Error())
		}
	}
	return network{name, host}
}

// down takes the link of the peer down: it can say nothing any more.
func (n network) down(t *testing.T) {
	t.Helper()
	if err := testserver.IP(t.Context(), "-n", n.name, "link", "set", n.name, "down"); err != nil {
		t.Fatal(err)
	}
}

// A peer that vanished holds its stream for a heartbeat and Timeouts.Write where
// ConnContext is mounted; without it, the kernel's retransmissions last for a
// quarter of an hour.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	if testserver.RanApart(t) {
		return
	}
	const heartbeat, writeTimeout, grace = 500 * time.Millisecond, 2 * time.Second, 5 * time.Second
	for _, test := range []struct {
		name         string
		mounted, tls bool
	}{{"without ConnContext", false, false}, {"ConnContext", true, false}, {"ConnContext and TLS", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			peer := newNetwork(t)
			handler, err := newHandler(memlog.New(nil), &sse.Options{Heartbeat: heartbeat, Timeouts: sse.Timeouts{Write: writeTimeout}})
			if err != nil {
				t.Fatal(err)
			}
			s := serveAt(t, handler, peer.host, test.mounted, test.tls)
			client := exec.Command("ip", "netns", "exec", peer.name, "curl", "-skN", s.URL)
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Process.Kill(); _ = client.Wait() })
			awaitStatus(t, handler, "the stream", func(st sse.Status) bool { return st.Open == 1 })
			time.Sleep(2 * heartbeat) // it has turned live and was sent heartbeats
			peer.down(t)
			begun, limit := time.Now(), heartbeat+writeTimeout+grace
			for handler.Status().Open > 0 && time.Since(begun) < limit {
				time.Sleep(10 * time.Millisecond)
			}
			took := time.Since(begun)
			t.Logf("the stream was gone after %v: %t", took.Round(10*time.Millisecond), handler.Status().Open == 0)
			if gone := handler.Status().Open == 0; gone != test.mounted {
				t.Errorf("%v after the peer vanished the stream was gone: %t, want %t", took, gone, test.mounted)
			}
		})
	}
}

// serveAt serves the handler at an address of the host, perhaps with ConnContext.
func serveAt(t *testing.T, handler *sse.Handler, host string, mounted, encrypted bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	var err error
	if s.Listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		t.Fatal(err)
	}
	if mounted {
		s.Config.ConnContext = handler.ConnContext
	}
	if encrypted {
		s.TLS = &tls.Config{}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() { _ = handler.Close(); s.CloseClientConnections(); s.Close() })
	return s
}
