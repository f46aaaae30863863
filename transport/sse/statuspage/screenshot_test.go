package statuspage_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/webdriver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// TestScreenshots makes the pictures of the documentation in the folder that
// GAPLESS_SCREENSHOTS names, from GAPLESS_SCREENSHOT_TIME (2 m) of traffic.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("GAPLESS_SCREENSHOTS")
	if dir == "" {
		t.Skip("GAPLESS_SCREENSHOTS names no folder")
	}
	length, err := time.ParseDuration(os.Getenv("GAPLESS_SCREENSHOT_TIME"))
	if err != nil {
		length = 2*time.Minute + 3*time.Second
	}
	s := startShow(t)
	b := webdriver.Start(t)
	b.Resize(1280, 1000, false)
	b.Open(s.URL + "/status")
	b.Await("document.body.dataset.state === 'live'")
	time.Sleep(length)
	for _, shot := range []struct {
		name, scheme  string
		width, height int
	}{{"status.png", "light", 1280, 1000}, {"status-dark.png", "dark", 1280, 1000}, {"status-phone.png", "light", 390, 844}, {"status-phone-dark.png", "dark", 390, 2600}} {
		b.Resize(shot.width, shot.height, shot.width < 500)
		b.Prefer("prefers-color-scheme", shot.scheme)
		time.Sleep(1500 * time.Millisecond) // drawn anew
		if err := os.WriteFile(filepath.Join(dir, shot.name), b.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startShow is a server with traffic: clients of every kind, until the test
// ends.
func startShow(t *testing.T) *httptest.Server {
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, &sse.Options{Limits: sse.Limits{Streams: 32}, Hub: &cdc.HubOptions{TailEvents: 12000}, Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.URL.Query().Has("broken") {
			return sse.Grant{}, errors.New(r.URL.Query().Get("broken"))
		}
		return sse.Grant{Scope: sse.Everything()}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/events", handler)
	mux.Handle("/status", statuspage.New(handler, nil))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetWriteBuffer(4096) // so that slow clients are slow
		}
	}
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = handler.Close()
		server.CloseClientConnections()
		server.Close()
		_ = log.Close()
	})
	produce(ctx, log, 20000)
	running.Go(func() { produceWaves(ctx, log) })
	startVisitors(ctx, &running, server.URL)
	return server
}

// produceWaves appends more and less, ten times a second.
func produceWaves(ctx context.Context, log *memlog.Log) {
	for i := 0; ctx.Err() == nil; i++ {
		at := float64(i) / 10
		produce(ctx, log, max(0, int(11+6*math.Sin(at/9)+3*math.Sin(at/2.3)+3*rand.NormFloat64())))
		pause(ctx, 100*time.Millisecond)
	}
}

// startVisitors starts clients of every kind.
func startVisitors(ctx context.Context, running *sync.WaitGroup, target string) {
	follow := func(speed int, life time.Duration, query url.Values) {
		running.Go(func() {
			for ctx.Err() == nil {
				visit(ctx, target, speed, life, query)
				pause(ctx, time.Second)
			}
		})
	}
	follow(38<<10, 0, url.Values{"after": {"15000"}})
	follow(31<<10, 55*time.Second, url.Values{})
	follow(100<<10, 24*time.Second, url.Values{"after": {"beginning"}})
	follow(9<<10, 80*time.Second, url.Values{"topic": {"orders"}})
	for i := range 13 {
		follow(0, time.Duration(60+17*i)*time.Second, []url.Values{
			{},
			{"topic": {"orders"}},
			{"topic": {"cust*"}, "type": {"customer.updated"}},
			{"topic": {"stocks"}},
			{"key": {"o-17", "o-18"}},
			{"type": {"order.paid", "order.shipped"}},
		}[i%6])
	}
	follow(0, 41*time.Second, url.Values{"after": {"old.17"}})
	follow(0, 9*time.Second, url.Values{"broken": {"sessions: connect: connection refused"}})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func produce(ctx context.Context, log *memlog.Log, n int) {
	kinds := []string{"orders order.created o", "orders order.paid o", "orders order.shipped o", "customers customer.updated c", "stocks stock.reserved s", "invoices invoice.sent i"}
	var events []cdc.Event
	for range n {
		kind := strings.Fields(kinds[rand.N(len(kinds))])
		events = append(events, cdc.Event{
			Topic: kind[0], Type: kind[1], Key: fmt.Sprintf("%s-%d", kind[2], rand.N(900)),
			Data: fmt.Appendf(nil, `{"total":%d,"currency":"EUR","note":%q}`, rand.N(9000), strings.Repeat("x", 120)),
		})
	}
	_, _ = log.Append(ctx, events...) // fails at the end only
}

// visit is one client, which reads speed bytes a second, or all there are, and
// leaves after its life.
func visit(ctx context.Context, base string, speed int, life time.Duration, query url.Values) {
	if life > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, life)
		defer cancel()
	}
	transport := &http.Transport{ReadBufferSize: 4096, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		return c, err
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/events?"+query.Encode(), nil)
	if err != nil {
		return
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		pause(ctx, life)
		return
	}
	body := bufio.NewReaderSize(response.Body, 4096)
	for {
		n, err := io.CopyN(io.Discard, body, 2048)
		if err != nil {
			return
		}
		if speed > 0 {
			pause(ctx, time.Duration(n)*time.Second/time.Duration(speed))
		}
	}
}
