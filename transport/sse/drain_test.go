package sse_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestShutdownWithManyStreams(t *testing.T) {
	const clients = 1000
	log := memlog.New(nil)
	receipt := appendData(t, log, `1`)
	handler, err := newHandler(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: handler}
	hs.RegisterOnShutdown(func() { _ = handler.Close() })
	go func() { _ = hs.Serve(listener) }()

	var ready, ended sync.WaitGroup
	ready.Add(clients)
	for range clients {
		ended.Go(func() { expectShutdown(t, listener.Addr().String(), receipt.Seqs[0], ready.Done) })
	}
	ready.Wait()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	took := time.Since(begin)
	ended.Wait()
	t.Logf("Shutdown with %d streams took %v", clients, took)
	limit := time.Second
	if os.Getenv("GAPLESS_BENCH") == "" {
		limit = 5 * time.Second // with the race detector, on a machine that does other things
	}
	if took > limit {
		t.Errorf("Shutdown took %v, want less than %v", took, limit)
	}
}

// expectShutdown follows from the beginning, says when it is live, and wants to be
// told where to resume before the end.
func expectShutdown(t *testing.T, addr string, last uint64, ready func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		ready()
		return
	}
	defer func() { _ = conn.Close() }()
	stream := openRaw(t, conn, "/?after=0")
	for _, name := range []string{"cdc.hello", "", "cdc.live"} {
		if got, err := stream.next(); err != nil || got.name != name {
			t.Errorf("got %+v, %v; want %q", got, err, name)
		}
	}
	ready()
	got, err := stream.next()
	if err != nil || got.name != "cdc.reconnect" || cursorOf(t, got.id).Seq != last || got.retry == "" {
		t.Errorf("got %+v, %v; want reconnect with the last cursor and a retry", got, err)
	}
	if got, err := stream.next(); err != io.EOF && err != io.ErrUnexpectedEOF {
		t.Errorf("got %+v, %v after reconnect, want the end", got, err)
	}
}

// openRaw sends a request and returns the frames of the response.
func openRaw(t testing.TB, conn net.Conn, target string, headers ...string) *parser {
	t.Helper()
	var request strings.Builder
	request.WriteString("GET " + target + " HTTP/1.1\r\nHost: test\r\n")
	if compressing() {
		headers = append(headers, "Accept-Encoding", "gzip")
	}
	for i := 0; i < len(headers); i += 2 {
		request.WriteString(headers[i] + ": " + headers[i+1] + "\r\n")
	}
	if _, err := io.WriteString(conn, request.String()+"\r\n"); err != nil {
		t.Error(err)
	}
	return newParser(&lazyBody{conn: conn})
}

func TestDrainedHandlerTurnsClientsAway(t *testing.T) {
	s := serve(t, nil, nil)
	if err := s.handler.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	f := s.follow(t, "", "Last-Event-ID", "e.5")
	if got := f.want("cdc.reconnect"); got.id != "e.5" || got.retry == "" {
		t.Errorf("reconnect %+v, want the cursor of the request and a retry", got)
	}
	f.wantEnd()
	if err := s.handler.Close(); err != nil {
		t.Error(err)
	}
	if err := s.handler.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestStuckClientIsCut proves that a client that does not read loses its
// stream after the write deadline, while another one gets everything.
func TestStuckClientIsCut(t *testing.T) {
	s := serve(t, nil, &sse.Options{Timeouts: sse.Timeouts{Write: time.Second}})
	big := `"` + base64Text(string(randomBytes(3<<16))) + `"` // does not become much smaller
	stuck, ended := stuckClient(t, s)
	defer func() { _ = stuck.Close() }()
	reader := s.follow(t, "")
	reader.want("cdc.hello")
	reader.want("cdc.live")
	for i := 0; ; i++ {
		appendData(t, s.log, big)
		reader.wantPayload(big)
		select {
		case <-ended:
			t.Logf("ended after %d events of 256 KB", i+1)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestDrainCutsStuckClients proves that Close does not wait for a client that
// does not read.
func TestDrainCutsStuckClients(t *testing.T) {
	s := serve(t, nil, nil) // a write deadline of 30 s
	big := `"` + base64Text(string(randomBytes(3<<18-100))) + `"`
	stuck, ended := stuckClient(t, s)
	defer func() { _ = stuck.Close() }()
	for range 16 {
		appendData(t, s.log, big)
	}
	begin := time.Now()
	if err := s.handler.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Close and the end of the stream took %v", took)
	}
}

// stuckClient opens a stream and never reads it; the channel is closed when
// its handler has returned.
func stuckClient(t *testing.T, s *server) (net.Conn, <-chan struct{}) {
	ended := make(chan struct{})
	stuck := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		s.handler.ServeHTTP(w, r)
	}))
	stuck.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	stuck.Start()
	t.Cleanup(stuck.Close)
	conn, err := net.Dial("tcp", stuck.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	openRaw(t, conn, "/")
	for {
		if _, ok := s.handler.Hub().Slowest(); ok {
			return conn, ended
		}
		time.Sleep(time.Millisecond)
	}
}
