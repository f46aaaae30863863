package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gapless-go/gapless/e2e/clients/report"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// serve serves the handler, with TLS and HTTP/2 if there is a certificate.
func serve(t *testing.T, h http.Handler, http2 bool, configure func(*http.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	if configure != nil {
		configure(server.Config)
	}
	if http2 {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// http.Server.WriteTimeout ends every response after a while, on HTTP/1.1 and
// on HTTP/2; a stream of Gapless sets its own deadlines and lives on.
func TestStreamsOutliveTheWriteTimeoutOfTheServer(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			log := memlog.New(nil)
			defer log.Close()
			stream := newHandler(t, log, &sse.Options{Heartbeat: 50 * time.Millisecond})
			naive := func(w http.ResponseWriter, r *http.Request) {
				for i := 0; r.Context().Err() == nil; i++ {
					if _, err := fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i, i); err != nil {
						return
					}
					if http.NewResponseController(w).Flush() != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
			mux := http.NewServeMux()
			mux.Handle("/events", stream)
			mux.HandleFunc("/naive", naive)
			server := serve(t, mux, http2, func(s *http.Server) { s.WriteTimeout = timeout })

			began := time.Now()
			err := readStream(t.Context(), server.Client(), server.URL+"/naive", func(report.Line) bool { return time.Since(began) < 20*timeout })
			if err == nil {
				t.Error("a plain handler outlived the write timeout: this test shows nothing")
			}
			began = time.Now()
			err = readStream(t.Context(), server.Client(), server.URL+"/events?heartbeat=event", func(report.Line) bool { return time.Since(began) < 5*timeout })
			if err != nil {
				t.Errorf("the stream ended after %v: %v", time.Since(began), err)
			}
		})
	}
}

// A browser has six connections for one server on HTTP/1.1: six streams leave
// none for ordinary requests. HTTP/2 has one for all.
func TestABrowserHasSixStreamsOnHTTP1(t *testing.T) {
	needChromium(t)
	for _, c := range []struct {
		http2         bool
		streams, open int
		answered      bool
	}{
		{false, 5, 5, true},
		{false, 20, 6, false},
		{true, 20, 20, true},
	} {
		t.Run(fmt.Sprintf("http2=%v %d streams", c.http2, c.streams), func(t *testing.T) {
			log := memlog.New(nil)
			defer log.Close()
			mux := http.NewServeMux()
			mux.Handle("/events", newHandler(t, log, nil))
			mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
			server := serve(t, mux, c.http2, nil)
			var got struct {
				Open     int
				Answered bool
			}
			text := node(t, []string{"E2E_TMP=" + t.TempDir()}, "node/six.js", server.URL, fmt.Sprint(c.streams), fmt.Sprint(c.open))
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if got.Open != c.open || got.Answered != c.answered {
				t.Errorf("%d streams are open, and a request is answered: %v; want %d and %v", got.Open, got.Answered, c.open, c.answered)
			}
		})
	}
}
