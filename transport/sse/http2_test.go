package sse_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// TestSilenceOutlivesDeadlines proves that a silence longer than the write
// deadline, the handler's own and the server's, and than the server's read
// deadline, ends no stream: on HTTP/2 an expired deadline cannot be set again.
func TestSilenceOutlivesDeadlines(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, timeout := range []time.Duration{time.Second, -1} {
			t.Run(fmt.Sprintf("http2=%t/WriteTimeout=%v", h2, timeout), func(t *testing.T) {
				t.Parallel()
				testSilence(t, h2, timeout)
			})
		}
	}
}

func testSilence(t *testing.T, h2 bool, timeout time.Duration) {
	log := memlog.New(nil)
	handler, err := newHandler(log, &sse.Options{Heartbeat: 3 * time.Second, Timeouts: sse.Timeouts{Write: timeout}})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewUnstartedServer(handler)
	hs.Config.WriteTimeout, hs.Config.ReadTimeout = 2*time.Second, 2*time.Second
	hs.EnableHTTP2 = h2
	hs.StartTLS()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, hs.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := hs.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if (response.ProtoMajor == 2) != h2 {
		t.Errorf("HTTP/%d, want 2: %t", response.ProtoMajor, h2)
	}
	f := &follower{parser: newParser(response.Body), t: t, response: response, cancel: cancel}
	f.want("cdc.hello")
	f.want("cdc.live")
	for range 2 { // heartbeats, each after a silence
		if got, err := f.next(); err != nil || !got.comment {
			t.Fatalf("HTTP/%d: got %+v, %v; want a heartbeat", response.ProtoMajor, got, err)
		}
	}
	appendData(t, log, `1`)
	f.wantPayload(`1`)
	if err := handler.Close(); err != nil {
		t.Error(err)
	}
	f.want("cdc.reconnect")
	f.wantEnd()
	f.close()
	hs.Close()
}
