// Package statuspage shows what an [sse.Handler] does: whether all is well and
// else what to do, its log, charts of the events sent and of how much is still
// to be sent, its streams, workers ([Options].Workers), the tail of its Hub,
// resets, and the last errors.
//
//	mux.Handle("/status", auth(statuspage.New(handler, nil)))
//
// The first line is the verdict: all is well, or what needs somebody, each with
// what to do. ?data has it, too, for a health check: verdict.well and
// verdict.needs.
//
// It is one handler for one path, wherever that is, and nothing in Gapless
// mounts it. It answers GET and HEAD only and changes nothing. The page loads
// nothing from elsewhere, and polls GET ?data once a second: a JSON object with
// counts and a bounded sample of the streams, made at most twice a second
// however many look at it. For it the log is asked for its bounds, at most every
// two seconds; one that takes longer than a second counts as unreachable.
//
// Put it behind your authentication: it shows the filters of the clients and
// the texts of errors, and with [Options.Remote] addresses. Of requests it
// shows nothing else, neither query strings nor headers nor cursors.
package statuspage

import (
	"embed"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// Options of a page; nil means the defaults.
type Options struct {
	// Title is shown beside "Gapless". "" means "status".
	Title string

	// Streams is how many streams are listed at most, those furthest behind
	// first. All are counted. 0 means 50; negative means none.
	Streams int

	// Remote shows the addresses of the clients, or of the proxy before them.
	// By default they are hidden.
	Remote bool

	// Workers are listed, with position, lag, parked events and the instance
	// that works: its host name, process and a random text. nil: there is no such
	// card.
	Workers []cdc.WorkersOf
}

//go:embed page
var files embed.FS

// freshness is how old an answer may be that is given to several browsers.
const freshness = 500 * time.Millisecond

type page struct {
	handler *sse.Handler
	opts    Options
	html    string
	started time.Time

	mu    sync.Mutex
	watch *watch
	past  past
	data  []byte    // the last answer
	made  time.Time // when
}

// New returns the page of the handler, to be mounted at one path.
func New(handler *sse.Handler, opts *Options) http.Handler {
	now := time.Now()
	p := &page{handler: handler, started: now, watch: newWatch(handler.Hub(), now)}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Title == "" {
		p.opts.Title = "status"
	}
	if p.opts.Streams == 0 {
		p.opts.Streams = 50
	}
	var html strings.Builder
	parsed := template.Must(template.ParseFS(files, "page/index.html"))
	if err := parsed.Execute(&html, p.opts); err != nil {
		panic(err) // the page is embedded: it was tested
	}
	p.html = html.String()
	return p
}

// policy lets the page load and run its own files only.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers with the page, with ?data the figures, with ?file= one of
// its files.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the status page is read with GET", http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	switch name := query.Get("file"); {
	case query.Has("data"):
		h.Set("Content-Type", "application/json")
		w.Write(p.answer(r.Context()))
	case !query.Has("file"):
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(p.html))
	case name == "page.css", name == "page.js", name == "charts.js", name == "icon.svg":
		h.Set("Cache-Control", "private, no-cache")
		http.ServeFileFS(w, r, files, path.Join("page", name))
	default:
		http.Error(w, "the status page has no such file", http.StatusNotFound)
	}
}
