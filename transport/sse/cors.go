package sse

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// CORS lets pages of other origins read the streams.
type CORS struct {
	// Origins that may, such as "https://app.example.com". "*" is any.
	Origins []string

	// Credentials lets them send cookies (withCredentials of an EventSource).
	// It is refused together with "*".
	Credentials bool

	// Headers are further request headers that pages may send, such as
	// "traceparent". Authorization, Cache-Control and Last-Event-ID are allowed
	// in any case. "*" is refused: browsers take it for a name where there are
	// credentials.
	Headers []string
}

// allow sets the headers for the origin of the request.
func (c *CORS) allow(h http.Header, r *http.Request) {
	if c == nil {
		return
	}
	anyone := slices.Contains(c.Origins, "*")
	if !anyone {
		h.Add("Vary", "Origin")
	}
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return
	case anyone:
		origin = "*"
	case !slices.Contains(c.Origins, origin):
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", strings.Join(append([]string{"Authorization", "Cache-Control", wire.LastEventID}, c.Headers...), ", "))
		h.Set("Access-Control-Max-Age", "600")
	}
}
