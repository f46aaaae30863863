package sse_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// TestHostileRequests sends malformed requests, and opens and aborts streams:
// no panic, no forged frame, nothing left behind.
func TestHostileRequests(t *testing.T) {
	requests, aborts := 300, 500
	if os.Getenv("GAPLESS_SOAK") != "" {
		requests, aborts = 2000, 10_000
	}
	events := memlog.New(nil)
	for _, text := range hostile {
		appendData(t, events, text)
	}
	handler, err := newHandler(events, &sse.Options{Limits: sse.Limits{Streams: 100}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var logged testserver.Output
	hs := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second, ErrorLog: log.New(&logged, "", 0)}
	go func() { _ = hs.Serve(listener) }()
	defer func() {
		_ = handler.Close()
		_ = hs.Close()
	}()
	before := runtime.NumGoroutine()

	attackAll(t, listener.Addr().String(), requests, aborts)
	for range 500 {
		if handler.Status().Open == 0 && runtime.NumGoroutine() <= before+5 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := handler.Status().Open; n > 0 || runtime.NumGoroutine() > before+5 {
		t.Errorf("%d streams and %d goroutines are left", n, runtime.NumGoroutine()-before)
	}
	t.Logf("%d hostile requests and %d aborted ones: %d streams and %d goroutines are left", requests, aborts, handler.Status().Open, max(0, runtime.NumGoroutine()-before))
	if text := logged.String(); strings.Contains(text, "panic") {
		t.Errorf("the server panicked: %s", text)
	}
}

// attackAll sends malformed requests, and streams that are aborted, eight at a time.
func attackAll(t *testing.T, addr string, requests, aborts int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 5))
	work := make(chan string)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for request := range work {
				attack(t, addr, request)
			}
		})
	}
	for range requests {
		work <- hostileRequest(r)
	}
	for range aborts {
		work <- "GET /?after=beginning HTTP/1.1\r\nHost: x\r\nX-Abort: 1\r\n\r\n"
	}
	close(work)
	group.Wait()
}

// attack sends the request and judges the answer, if it is a stream.
func attack(t *testing.T, addr, request string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := io.WriteString(conn, request); err != nil || strings.Contains(request, "X-Abort") {
		return
	}
	body := &lazyBody{conn: conn}
	text, _ := io.ReadAll(io.LimitReader(body, 1<<20)) // until the deadline
	if !bytes.HasPrefix(text, []byte("event: cdc.")) {
		return
	}
	allowed := []string{"", "cdc.hello", "cdc.live", "cdc.reset", "cdc.reconnect", "cdc.checkpoint"}
	p := newParser(bytes.NewReader(text))
	for {
		f, err := p.next()
		if err == io.EOF {
			return
		}
		if err != nil || !slices.Contains(allowed, f.name) {
			t.Errorf("frame %+v, %v after %.200q", f, err, request)
			return
		}
		if f.name == "cdc.reset" && strings.Contains(f.data, "forged") && strings.Contains(f.id, "forged") {
			t.Errorf("forged %+v", f)
		}
	}
}

func hostileRequest(r *rand.Rand) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	junk := func() string {
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	}
	value := func() string {
		return pick(junk(), "%00", "%0d%0aevent:%20forged", "-1", "18446744073709551616", "1.2.3.4", "é", "%ff%fe",
			strings.Repeat("A", 1+r.IntN(5000)), "latest", "beginning", "0", "x.1", "..")
	}
	var query strings.Builder
	for range r.IntN(4) {
		query.WriteString(pick("after", "topic", "type", "key", "heartbeat", "data", "ticket", "x") + "=" + value() + pick("&", ";", "&&", "?"))
	}
	var header strings.Builder
	for range r.IntN(3) {
		header.WriteString(pick("Last-Event-ID", "Origin", "Accept", "X") + ": " + pick(value(), junk(), strings.Repeat("z", 1<<20)) + "\r\n")
	}
	return fmt.Sprintf("%s /?%s HTTP/1.1\r\nHost: x\r\n%s%s", pick("GET", "GET", "GET", "POST", "OPTIONS", junk()), query.String(), header.String(), pick("\r\n", "\r\n", "\r\n", ""))
}
