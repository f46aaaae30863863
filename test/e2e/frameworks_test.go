package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gin-gonic/gin"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	metrics "github.com/slok/go-http-metrics/middleware"
	metricsstd "github.com/slok/go-http-metrics/middleware/std"
	"github.com/urfave/negroni/v3"

	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// inGin is a handler in a router of gin with its middleware.
func inGin(use ...gin.HandlerFunc) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		gin.SetMode(gin.ReleaseMode)
		r := gin.New()
		r.Use(use...)
		r.Any("/events", gin.WrapH(h))
		return r
	}
}

// inEcho is a handler in a router of echo with its middleware.
func inEcho(use ...echo.MiddlewareFunc) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		e := echo.New()
		e.Use(use...)
		e.Any("/events", echo.WrapHandler(h))
		return e
	}
}

func inNegroni(h http.Handler) http.Handler {
	n := negroni.New(negroni.NewRecovery())
	n.UseHandler(h)
	return n
}

func withSession(h http.Handler) http.Handler {
	sessions := &scs.SessionManager{ // scs.New has a goroutine that nobody can end
		Lifetime: time.Hour, Cookie: scs.SessionCookie{Name: "session"}, Codec: scs.GobCodec{},
		Store: memstore.NewWithCleanupInterval(0),
	}
	return sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "seen", true) // so that there is a cookie to be set
		h.ServeHTTP(w, r)
	}))
}

func withHTTPMetrics(h http.Handler) http.Handler {
	return metricsstd.Handler("", metrics.New(metrics.Config{}), h)
}

func compressed(h http.Handler) http.Handler {
	wrap, err := httpcompression.DefaultAdapter()
	if err != nil {
		panic(err)
	}
	return wrap(h)
}

// serveWrapped serves a handler behind a middleware.
func serveWrapped(t *testing.T, wrap func(http.Handler) http.Handler, h http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(wrap(h))
	t.Cleanup(server.Close)
	return server.URL
}

// A deadline that a middleware puts on the request ends the stream in good
// order, and for a reason of its own.
func TestDeadlinesOfMiddleware(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"chi: Timeout":         chimiddleware.Timeout(time.Second),
		"echo: ContextTimeout": inEcho(echomiddleware.ContextTimeout(time.Second)),
		"gin, a context with a deadline": inGin(func(c *gin.Context) {
			ctx, cancel := context.WithTimeout(c.Request.Context(), time.Second)
			defer cancel()
			c.Request = c.Request.WithContext(ctx)
			c.Next()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			handler := newHandler(t, memlog.New(nil), nil)
			url := serveWrapped(t, wrap, handler) + "/events"
			client := &http.Client{Transport: &http.Transport{}}
			t.Cleanup(client.CloseIdleConnections)
			var last report.Line
			err := readStream(t.Context(), client, url, func(l report.Line) bool {
				last = l
				return true
			})
			if last.Event != "cdc.reconnect" || last.ID == "" || !errors.Is(err, io.EOF) {
				t.Errorf("the last frame is %+v, and the body ends with %v; want cdc.reconnect with an id, and a clean end", last, err)
			}
			await(t, "the end of the stream to be counted", func() bool { return handler.Status().Ended[sse.EndDeadline] == 1 })
		})
	}
}

// fiber's server is none of net/http's: what it has no means for is refused.
func TestFiber(t *testing.T) {
	s := &server{t: t, scheme: "http", addr: testserver.FreeAddr(t)}
	s.args = []string{binary("fiber"), "-addr", s.addr}
	s.run(nil)
	refusal(t, s.http, s.url("/events"))
}
