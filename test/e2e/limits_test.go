package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
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
	const timeout = time.Second
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
			err = readStream(t.Context(), server.Client(), server.URL+"/events?heartbeat=event", func(report.Line) bool { return time.Since(began) < 3*timeout })
			if err != nil {
				t.Errorf("the stream ended after %v: %v", time.Since(began), err)
			}
		})
	}
}

// A write deadline that has passed can be set anew on HTTP/1.1, but has ended
// the stream on HTTP/2, though nothing was to be written: so it must be moved
// before it passes, also in a silence.
func TestAnExpiredWriteDeadlineEndsAStreamOnHTTP2(t *testing.T) {
	const timeout = 500 * time.Millisecond
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			expire := func(w http.ResponseWriter, r *http.Request) {
				c := http.NewResponseController(w)
				fmt.Fprint(w, "id: 1\ndata: one\n\n")
				c.Flush()
				c.SetWriteDeadline(time.Now().Add(timeout))
				select {
				case <-time.After(2 * timeout):
				case <-r.Context().Done():
				}
				c.SetWriteDeadline(time.Now().Add(time.Hour))
				fmt.Fprint(w, "id: 2\ndata: two\n\n")
			}
			log := memlog.New(nil)
			defer log.Close()
			mux := http.NewServeMux()
			mux.HandleFunc("/naive", expire)
			mux.Handle("/events", newHandler(t, log, &sse.Options{Heartbeat: 3 * timeout, Timeouts: sse.Timeouts{Write: timeout}}))
			server := serve(t, mux, http2, nil)

			last := ""
			err := readStream(t.Context(), server.Client(), server.URL+"/naive", func(l report.Line) bool {
				last = l.ID
				return last != "2"
			})
			if want := map[bool]string{false: "2", true: "1"}[http2]; last != want {
				t.Errorf("the plain stream ended at %s, want %s: %v", last, want, err)
			}
			checkpoints := 0
			err = readStream(t.Context(), server.Client(), server.URL+"/events?heartbeat=event", func(l report.Line) bool {
				if l.Event == "cdc.checkpoint" {
					checkpoints++
				}
				return checkpoints < 2
			})
			if err != nil {
				t.Errorf("after %d silences: %v", checkpoints, err)
			}
		})
	}
}

// A browser has six connections for one server on HTTP/1.1: six streams leave
// none for ordinary requests. HTTP/2 has one for all.
func TestABrowserHasSixStreamsOnHTTP1(t *testing.T) {
	needChromium(t)
	type result struct {
		Open     int  `json:"open"`
		Answered bool `json:"answered"`
	}
	type example struct {
		Base    string `json:"base"`
		Streams int    `json:"streams"`
		result
	}
	var args []string
	examples := []example{{"HTTP/1.1", 5, result{5, true}}, {"HTTP/1.1", 6, result{6, false}}, {"HTTP/1.1", 20, result{6, false}}, {"HTTP/2", 20, result{20, true}}}
	for _, e := range examples {
		log := memlog.New(nil)
		t.Cleanup(func() { log.Close() })
		mux := http.NewServeMux()
		mux.Handle("/events", newHandler(t, log, nil))
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
		e.Base = serve(t, mux, e.Base == "HTTP/2", nil).URL
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, string(text))
	}
	var got []result
	text := node(t, []string{"E2E_TMP=" + t.TempDir()}, append([]string{"node/six.js"}, args...)...)
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != len(examples) {
		t.Fatalf("%v: %s", err, text)
	}
	for i, e := range examples {
		if got[i] != e.result {
			t.Errorf("%s, %d streams: open and an ordinary request answered: %+v, want %+v", e.Base, e.Streams, got[i], e.result)
		}
	}
}
