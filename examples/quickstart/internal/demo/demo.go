// Package demo lets a visitor of the quickstart's page break what serves it:
// cut the connections of the page, and kill the process. Beside Gapless's stream
// it serves the same events as a feed that is written by hand, which loses what
// happens meanwhile. Nothing of it belongs in an application.
package demo

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

//go:embed page
var files embed.FS

// Demo serves /demo/.
type Demo struct {
	hub  *cdc.Hub
	feed broadcast
	mux  *http.ServeMux

	mu      sync.Mutex
	streams map[string]map[net.Conn]struct{} // by the page that follows
}

// New returns the demonstration of a hub's events.
func New(hub *cdc.Hub) *Demo {
	d := &Demo{hub: hub, mux: http.NewServeMux(), streams: map[string]map[net.Conn]struct{}{}}
	d.feed.clients = map[chan string]struct{}{}
	d.feed.ended = make(chan struct{})
	d.mux.HandleFunc("GET /demo/state", d.state)
	d.mux.HandleFunc("POST /demo/cut", d.cut)
	d.mux.HandleFunc("POST /demo/kill", d.kill)
	d.mux.Handle("GET /demo/feed", d.Watch(&d.feed))
	d.mux.HandleFunc("GET /demo/{file}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, files, "page/"+r.PathValue("file"))
	})
	return d
}

// ServeHTTP refuses what did not come to a name of this computer: a page of
// elsewhere may have given its own name this address.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !isLoopback(r.Host) {
		http.Error(w, "the demonstration is for this computer only: open it by its address, such as http://127.0.0.1:8080", http.StatusForbidden)
		return
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && (err != nil || media != "application/json") {
		http.Error(w, "send Content-Type: application/json, which no form of another page can", http.StatusUnsupportedMediaType)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// AddTo puts the demonstration into the page, in the place that is marked.
func (d *Demo) AddTo(page []byte) []byte {
	part, err := files.ReadFile("page/demo.html")
	if err != nil {
		panic(err) // it is embedded
	}
	return bytes.Replace(page, []byte("<!-- demo -->"), part, 1)
}

// Run feeds the feed until ctx ends, and ends its streams.
func (d *Demo) Run(ctx context.Context) {
	defer close(d.feed.ended)
	for batch, err := range cdc.Follow(ctx, d.hub, cdc.Latest(), nil) {
		if err != nil {
			return // ctx has ended, or nothing can be followed any more
		}
		for _, event := range batch.Events {
			d.feed.send(event)
		}
	}
}

type connKey struct{}

// ConnContext lets Watch find the connection of a request.
func (d *Demo) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// Watch notes over which connection a page follows: ?page= names the page.
func (d *Demo) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(connKey{}).(net.Conn)
		if page := r.URL.Query().Get("page"); ok && page != "" {
			d.note(page, conn)
			defer d.forget(page, conn)
		}
		next.ServeHTTP(w, r)
	})
}

func (d *Demo) note(page string, conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.streams[page] == nil {
		d.streams[page] = map[net.Conn]struct{}{}
	}
	d.streams[page][conn] = struct{}{}
}

func (d *Demo) forget(page string, conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.streams[page], conn)
	if len(d.streams[page]) == 0 {
		delete(d.streams, page)
	}
}

// cut breaks the connections over which the page follows, as a network does:
// nobody says goodbye.
func (d *Demo) cut(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for conn := range d.streams[r.URL.Query().Get("page")] {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset: what was not sent yet is thrown away
		}
		_ = conn.Close() // a failure is that it is closed
		n++
	}
	answer(w, map[string]int{"cut": n})
}

// kill is kill -9 of this process.
func (d *Demo) kill(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]int{"pid": os.Getpid()})
	_ = http.NewResponseController(w).Flush() // the page notices anyway
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill() // nothing after it runs
	}
}

// state says which process serves.
func (d *Demo) state(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]int{"pid": os.Getpid()})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // fails if the client went away
}

// isLoopback reports whether an address, with a port or without, can only be
// that of this computer.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
