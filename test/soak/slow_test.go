package soak_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// A client that opens a stream and never reads slows nobody, costs little, and
// is gone after the write deadline of 30 s (in the full size).
func TestStuckClient(t *testing.T) {
	s := newServer(t)
	for i := range 50 { // history enough to fill the buffers of the connection
		var lines []string
		for range 1000 {
			lines = append(lines, fmt.Sprintf(`{"topic":"soak","type":"fill","data":{"n":%d,"pad":%q}}`, i, strings.Repeat("x", 150)))
		}
		if err := s.post(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	d := pick(2*time.Second, 60*time.Second)
	load(t, s, d/2) // warm
	own, _ := s.memory()
	without := load(t, s, d)
	ownWithout, _ := s.memory()

	stuck, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	opened := time.Now()
	if _, err := fmt.Fprintf(stuck, "GET /events?after=beginning HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr); err != nil {
		t.Fatal(err)
	}
	with := load(t, s, d)
	ownWith, _ := s.memory()

	n := int64(0)
	if full() {
		n = untilEnd(t, stuck, opened)
	}
	grown := (ownWith - ownWithout) >> 10
	t.Logf("p99 without %v, with %v; memory %d KB before, %d KB without, grew by %d KB with the stuck client, which had %d KB in its buffers",
		without.Round(10*time.Microsecond), with.Round(10*time.Microsecond), own>>10, ownWithout>>10, grown, n>>10)
	if grown > 20<<10 {
		t.Errorf("memory grew by %d KB, want under 20 MB", grown)
	}
}

// untilEnd waits until the time of a client that does not read must be over,
// and then reads what is in the buffers: after it the stream must have ended.
func untilEnd(t *testing.T, stuck net.Conn, opened time.Time) int64 {
	t.Helper()
	time.Sleep(time.Until(opened.Add(45 * time.Second)))
	if err := stuck.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, stuck)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("the stream of the stuck client is still open after %v", time.Since(opened))
	}
	return n
}

// load appends single events for a while, with 20 clients reading, and returns
// the 99th percentile of the time from before the append to the client.
func load(t *testing.T, s *server, d time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := make([]*client, 20)
	var readers sync.WaitGroup
	for i := range clients {
		clients[i] = newClient(s, new(verify.History), "load", "latest")
		readers.Go(func() { _ = clients[i].connect(ctx, 1<<40, func() bool { return false }) })
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		line := fmt.Sprintf(`{"topic":"soak","type":"tick","data":{"sent":%d}}`, time.Now().UnixMicro())
		if err := s.post(ctx, []string{line}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond) // the last ones arrive; none is required to
	cancel()
	readers.Wait()
	var delays []time.Duration
	for _, c := range clients {
		delays = append(delays, c.delay...)
	}
	if len(delays) == 0 {
		t.Fatal("nothing arrived")
	}
	slices.Sort(delays)
	return delays[len(delays)*99/100]
}
