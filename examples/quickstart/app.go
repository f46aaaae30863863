package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/gapless-go/gapless/examples/quickstart/internal/demo"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

//go:embed page
var page embed.FS

// app answers the requests.
type app struct {
	log    *boltlog.Log
	stream http.Handler
	status http.Handler // nil: not served
	demo   *demo.Demo   // nil: not served
	spool  string       // pattern of the temporary files of long appends, beside the log
}

func newApp(log *boltlog.Log, stream http.Handler) *app {
	return &app{log: log, stream: stream, spool: log.DB().Path() + ".spool-*"}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{file...}", a.page)
	mux.HandleFunc("/events", a.events)
	if a.demo != nil {
		mux.Handle("/demo/", a.demo)
		a.stream = a.demo.Watch(a.stream)
	}
	mux.HandleFunc("/healthz", a.healthz)
	mux.HandleFunc("/openapi.json", describe(document()))
	if a.status != nil {
		mux.Handle("/status", a.status)
	}

	// Pages of other origins must not append through a visitor's browser.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusForbidden, Detail: "This request was sent by a page of another origin: append from the server's own page or from a program."}.write(w)
	}))
	return guard.Handler(mux)
}

func (a *app) events(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		a.append(w, r)
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		a.stream.ServeHTTP(w, r)
	default:
		methodNotAllowed(w, r, "GET, HEAD, OPTIONS, POST")
	}
}

// health is the answer of GET /healthz: the range of seqs that can be read is
// above Floor, up to Head.
type health struct {
	Status string `json:"status"`
	Epoch  string `json:"epoch"`
	Floor  uint64 `json:"floor"`
	Head   uint64 `json:"head"`
}

func (a *app) healthz(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r, "GET, HEAD")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	b, err := a.log.Bounds(ctx)
	if err != nil {
		problem{Status: http.StatusServiceUnavailable, Detail: "The log cannot be read: " + err.Error()}.write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, health{Status: "ok", Epoch: b.Epoch, Floor: b.Floor, Head: b.Head})
}

// page serves the embedded files. They load nothing from elsewhere and run no
// script but their own, which the policy holds them to.
func (a *app) page(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if name == "" {
		name = "index.html"
	}
	if _, err := fs.Stat(page, "page/"+name); err != nil || strings.Contains(name, "/") {
		problem{Status: http.StatusNotFound, Detail: "There is nothing at " + r.URL.Path + ": use /, /events, /healthz or /openapi.json."}.write(w)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r, "GET, HEAD")
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	if name == "index.html" && a.demo != nil {
		a.servePageWithDemo(w, r)
		return
	}
	http.ServeFileFS(w, r, page, "page/"+filepath.Base(name))
}

func (a *app) servePageWithDemo(w http.ResponseWriter, r *http.Request) {
	index, err := page.ReadFile("page/index.html")
	if err != nil {
		panic(err) // it is embedded
	}
	http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(a.demo.AddTo(index)))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails if the client went away
}
