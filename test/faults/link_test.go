package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/gapless-go/gapless/internal/leaktest"
)

var toxiServer = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

// TestMain silences what some toxics log whatever the logger is.
func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	leaktest.Main(m, "github.com/Shopify/toxiproxy/v2/toxics.") // a link that is cut while it sends never ends
}

// link is the network between the clients and one server.
type link struct {
	t        *testing.T
	upstream string

	mu    sync.Mutex
	proxy *toxiproxy.Proxy
}

func newLink(t *testing.T, upstream string) *link {
	t.Helper()
	l := &link{t: t, upstream: upstream}
	l.open()
	t.Cleanup(func() {
		l.heal()
		l.proxy.Stop()
	})
	return l
}

func (l *link) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy = toxiproxy.NewProxy(toxiServer, "redis", "127.0.0.1:0", l.upstream)
	if err := l.proxy.Start(); err != nil {
		l.t.Error(err)
	}
}

func (l *link) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	addr := l.proxy.Listen
	l.mu.Unlock()
	return (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext(ctx, "tcp", addr)
}

// cut closes every connection. New ones meet a new proxy: the port of the old
// one may be somebody else's by now.
func (l *link) cut() {
	old := l.proxy
	l.open()
	old.Stop()
}

// toxic adds one of Toxiproxy's in a direction, "upstream" or "downstream".
func (l *link) toxic(kind, stream string, attributes map[string]any) {
	text, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
	if err == nil {
		_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		l.t.Error(fmt.Errorf("toxic %s: %w", kind, err))
	}
}

// heal removes the toxics. Toxiproxy may wait for ever for a slicer whose
// connection has ended (seen once in some hundred times): cutting ends that.
func (l *link) heal() {
	healed := make(chan struct{})
	toxics := l.proxy.Toxics
	go func() {
		defer close(healed)
		toxics.ResetToxics(context.Background())
	}()
	select {
	case <-healed:
	case <-time.After(5 * time.Second):
		l.cut()
	}
}
