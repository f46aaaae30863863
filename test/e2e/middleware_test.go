package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/NYTimes/gziphandler"
	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/gorilla/mux"
	"github.com/klauspost/compress/gzhttp"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// middlewares are what people put around a handler.
var middlewares = []struct {
	name string
	wrap func(http.Handler) http.Handler
	fate string // what happens to a stream, as in docs/sse.md
}{
	{"chi: Logger, RequestID, Recoverer", func(h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(middleware.RequestID, middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: nowhere{}, NoColor: true}), middleware.Recoverer)
		r.Handle("/events", h)
		return r
	}, works},
	{"chi: Compress", middleware.Compress(5), works},
	{"chi: Compress for text/event-stream", middleware.Compress(5, "text/event-stream"), works},
	{"chi: Timeout", middleware.Timeout(time.Hour), works},
	{"gorilla: mux, LoggingHandler", func(h http.Handler) http.Handler {
		r := mux.NewRouter()
		r.Handle("/events", h)
		return handlers.LoggingHandler(io.Discard, r)
	}, works},
	{"gorilla: CompressHandler", handlers.CompressHandler, works},
	{"gorilla: RecoveryHandler, ProxyHeaders, CORS", func(h http.Handler) http.Handler {
		return handlers.RecoveryHandler()(handlers.ProxyHeaders(handlers.CORS()(h)))
	}, works},
	{"klauspost/compress: gzhttp", func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) }, works},
	{"NYTimes/gziphandler", gziphandler.GzipHandler, refusedGzip},
	{"otelhttp", func(h http.Handler) http.Handler { return otelhttp.NewHandler(h, "events") }, works},
	{"gin: Recovery", inGin(gin.Recovery()), works},
	{"gin: gin-contrib/gzip", inGin(gingzip.Gzip(gingzip.DefaultCompression)), refusedGzip},
	{"echo: Recover, Gzip, ContextTimeout", inEcho(echomiddleware.Recover(), echomiddleware.Gzip(), echomiddleware.ContextTimeout(time.Hour)), works},
	{"echo: Timeout", inEcho(
		echomiddleware.TimeoutWithConfig(echomiddleware.TimeoutConfig{Timeout: time.Hour}), //nolint:staticcheck // deprecated, and used
	), refused},
	{"negroni", inNegroni, works},
	{"alexedwards/scs: LoadAndSave", withSession, works},
	{"slok/go-http-metrics", withHTTPMetrics, refused},
	{"CAFxX/httpcompression", compressed, refusedGzip},
	{"http.MaxBytesHandler", func(h http.Handler) http.Handler { return http.MaxBytesHandler(h, 1<<10) }, works},
	{"http.TimeoutHandler", func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Hour, "too late") }, refused},
	{"a ResponseWriter without Unwrap", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
	}, refused},
}

const (
	works       = "works"
	refused     = "500, which says so"
	refusedGzip = "500 for clients that take gzip, which says so"
)

type nowhere struct{}

func (nowhere) Print(...any) {}

// Each middleware lets every event through at once, or the client is told that
// it cannot.
func TestMiddleware(t *testing.T) {
	for _, m := range middlewares {
		for _, encoding := range []string{"identity", "gzip", "gzip of the handler"} {
			t.Run(m.name+"/"+encoding, func(t *testing.T) {
				log := memlog.New(nil)
				handler, err := sse.NewHandler(log, &sse.Options{Limits: sse.Limits{Compress: encoding == "gzip of the handler"}})
				if err != nil {
					t.Fatal(err)
				}
				url := serveWrapped(t, m.wrap, handler) + "/events"
				client := &http.Client{Transport: &http.Transport{DisableCompression: encoding == "identity"}}
				t.Cleanup(func() {
					_ = handler.Close()
					client.CloseIdleConnections()
				})
				if m.fate == refused || m.fate == refusedGzip && encoding != "identity" {
					refusal(t, client, url)
				} else {
					oneByOne(t, client, url, log)
				}
			})
		}
	}
}

// oneByOne appends an event when the one before has arrived: one that is kept
// in a buffer would never come.
func oneByOne(t *testing.T, client *http.Client, url string, log *memlog.Log) {
	t.Helper()
	sizes := []int{1, 100, 1_400, 5_000, 70_000, 1}
	next := func() string { return strings.Repeat("x", sizes[0]) }
	appendNext := func() {
		if _, err := log.Append(t.Context(), cdc.Event{Type: "t", Data: []byte(`"` + next() + `"`)}); err != nil {
			t.Error(err)
		}
	}
	timer := time.AfterFunc(patience, func() { panic("an event was kept on the way: " + url) })
	defer timer.Stop()
	err := readStream(t.Context(), client, url, func(l report.Line) bool {
		switch l.Event {
		case "cdc.live":
			appendNext()
		case "":
			var e struct{ Data string }
			if err := json.Unmarshal([]byte(l.Data), &e); err != nil || e.Data != next() {
				t.Errorf("got %.80q (%v), want %d bytes of data", l.Data, err, sizes[0])
			}
			if sizes = sizes[1:]; len(sizes) > 0 {
				appendNext()
			}
		}
		return len(sizes) > 0
	})
	if err != nil || len(sizes) > 0 {
		t.Errorf("%d events did not come: %v", len(sizes), err)
	}
}

func refusal(t *testing.T, client *http.Client, url string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(string(text), "mount the event stream outside of it") {
		t.Errorf("got %d %s, want a 500 that says what to do", resp.StatusCode, text)
	}
}

// docs/sse.md says of each what happens to it.
func TestMiddlewareIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sse.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(page), "\n")
	var rows []string
	for _, m := range middlewares {
		rows = append(rows, fmt.Sprintf("| %s | %s |", m.name, m.fate))
	}
	for _, row := range append(rows, fmt.Sprintf("| fiber: adaptor | %s |", refused)) {
		if !slices.Contains(lines, row) {
			t.Errorf("docs/sse.md has no row %s", row)
		}
	}
}
