package sse

import (
	"net/http"
	"slices"
)

// CORS lets pages of other origins read the streams.
type CORS struct {
	// Origins that may, such as "https://app.example.com". "*" is any.
	Origins []string

	// Credentials lets them send cookies (withCredentials of an EventSource).
	// It is refused together with "*".
	Credentials bool
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
		h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "600")
	}
}
