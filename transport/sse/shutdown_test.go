package sse_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// narrow is a server whose connections hold little, so that a stream replays
// only as fast as its client reads.
func narrow(t *testing.T, handler *sse.Handler) (hs *http.Server, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}}
	hs.RegisterOnShutdown(func() { _ = handler.Close() })
	go func() { _ = hs.Serve(listener) }()
	t.Cleanup(func() {
		_ = handler.Close()
		_ = hs.Close()
	})
	return hs, listener.Addr().String()
}

// TestShutdownDuringReplay ends a server in the middle of every client's
// history: it ends at once, and each client has exactly the log when it has
// resumed at another.
func TestShutdownDuringReplay(t *testing.T) {
	clients, events := 100, 500
	if os.Getenv("GAPLESS_SOAK") != "" {
		clients, events = 1000, 2000
	}
	log := memlog.New(nil)
	head := appendLarge(t, log, events)
	servers, addrs := serveTwice(t, log)

	var ready, ended sync.WaitGroup
	var replaying, told atomic.Int64
	down, back := make(chan struct{}), make(chan struct{})
	servers[0].RegisterOnShutdown(func() { close(down) })
	ready.Add(clients)
	for range clients {
		ended.Go(func() {
			at, last, wait := uint64(0), "", ready.Done
			for n, addr := range addrs {
				if n == 1 {
					<-back
				}
				at, last = readOn(t, addr, at, last, head, func(name string) {
					switch {
					case name == "cdc.reconnect":
						told.Add(1)
					case n == 0 && wait != nil:
						wait()
						wait = nil
						<-down // so all are in the middle when the server ends
						replaying.Add(1)
					}
				})
			}
			if at != head {
				t.Errorf("a client has %d of %d events", at, head)
			}
		})
	}
	ready.Wait()
	took := timeShutdown(t, servers[0])
	close(back)
	ended.Wait()
	t.Logf("Shutdown during %d replays took %v; %d clients got cdc.reconnect, the others were cut; each has all %d events once", replaying.Load(), took, told.Load(), events)
	if took > 5*time.Second { // promised is one
		t.Errorf("Shutdown took %v", took)
	}
}

func timeShutdown(t *testing.T, server *http.Server) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	return time.Since(begin)
}

// serveTwice returns two servers of the log, which send slowly.
func serveTwice(t *testing.T, log *memlog.Log) (servers [2]*http.Server, addrs [2]string) {
	t.Helper()
	for i := range servers {
		handler, err := newHandler(log, nil)
		if err != nil {
			t.Fatal(err)
		}
		servers[i], addrs[i] = narrow(t, handler)
	}
	return servers, addrs
}

// appendLarge appends n events of 1,000 bytes and returns the last seq.
func appendLarge(t *testing.T, log *memlog.Log, n int) (head uint64) {
	t.Helper()
	data := make([]string, n)
	for i := range data {
		data[i] = `"` + strings.Repeat("x", 1000) + `"`
	}
	return appendData(t, log, data...).Seqs[n-1]
}

// readOn reads one stream until it ends or has the head, and checks that each
// event follows the one before. each is called when a few have come, and with
// control frames.
func readOn(t *testing.T, addr string, at uint64, last string, head uint64, each func(name string)) (uint64, string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return at, last
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Error(err)
	}
	var headers []string
	if last != "" {
		headers = []string{"Last-Event-ID", last}
	}
	stream := openRaw(t, conn, "/?after=beginning", headers...)
	for at < head {
		f, err := stream.next()
		if err != nil {
			return at, last
		}
		if f.comment {
			continue
		}
		last = f.id
		if f.name != "" {
			each(f.name)
			continue
		}
		if seq := cursorOf(t, f.id).Seq; seq != at+1 {
			t.Errorf("event %d came after %d", seq, at)
		}
		if at++; at%10 == 0 {
			each("")
		}
	}
	return at, last
}
