package server

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/cors"

	"github.com/gapless-go/gapless/transport/sse/openapi"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// routes are those of the main address. Status page and metrics are among them
// where nobody else can reach it.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/events", s.handler)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET /openapi.json", openapi.Handler(&openapi.Options{Path: "/events", Tickets: s.opts.Auth != nil && s.opts.Auth.tickets != nil}))
	if s.opts.Append {
		s.post(mux, "/append", s.append)
	}
	if s.opts.Auth != nil && s.opts.Auth.tickets != nil && s.opts.Auth.key != nil {
		s.post(mux, "/tickets", s.ticket)
	}
	if s.opts.Auth == nil {
		if s.admin == nil {
			s.addAdmin(mux)
		}
		// Pages of other origins must not append through a visitor's browser.
		return onlyLocal(http.NewCrossOriginProtection().Handler(mux))
	}
	return mux
}

// post mounts a handler of POST requests. Pages of the origins that may read may
// send them, with a token.
func (s *server) post(mux *http.ServeMux, path string, handle http.HandlerFunc) {
	o := s.opts.Stream.CORS
	if o == nil || s.opts.Auth == nil {
		mux.HandleFunc("POST "+path, handle)
		return
	}
	shared := cors.New(cors.Options{
		AllowedOrigins: o.Origins, AllowCredentials: o.Credentials,
		AllowedMethods: []string{http.MethodPost}, AllowedHeaders: []string{"Authorization", "Content-Type"},
	}).Handler(handle)
	mux.Handle("POST "+path, shared)
	mux.Handle("OPTIONS "+path, shared)
}

// onlyLocal refuses names that somebody else lets point here: a page of theirs
// could read everything.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			problem(w, http.StatusMisdirectedRequest, "Without authorization only localhost and loopback addresses are answered: ask for one, or start the server with tokens.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	s.addAdmin(mux)
	mux.HandleFunc("GET /healthz", s.healthz)
	return mux
}

func (s *server) addAdmin(mux *http.ServeMux) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/status", statuspage.New(s.handler, &statuspage.Options{Title: s.opts.Title}))
}

// healthz says whether the log can be read, and no more: anybody may ask.
func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if _, err := s.log.Bounds(ctx); err != nil {
		s.handler.Report(err)
		problem(w, http.StatusServiceUnavailable, "The log cannot be read; the log of the server says why.")
		return
	}
	answer(w, map[string]string{"status": "ok"})
}

// ticket exchanges a token for a ticket, which a browser's EventSource can send.
func (s *server) ticket(w http.ResponseWriter, r *http.Request) {
	c, err := s.opts.Auth.token(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	ticket, err := s.opts.Auth.tickets.Issue(c.grant())
	if err != nil {
		s.refuse(w, err)
		return
	}
	answer(w, map[string]string{"ticket": ticket})
}
