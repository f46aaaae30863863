package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

const followPage = `<!doctype html><title>test</title><script>
window.errors = []
window.addEventListener('error', (e) => window.errors.push(String(e.message)))
window.sources = []
window.EventSource = class extends EventSource {
  constructor(url) { super(url); window.sources.push(this) }
}
</script><script type="module">
import { follow } from '/gapless.js'
window.got = []
window.resets = []
window.lives = 0
window.onevent = () => {}
window.reload = () => window.resets.length === 1 ? Promise.reject(new Error('no')) : new Promise((resolve) => { window.reloaded = resolve })
window.stop = follow({
  url: '/events', heartbeat: 400, retry: 100,
  onEvent: (e) => { window.got.push(e); window.onevent(e) },
  onReset: (r) => { window.resets.push(r); return window.reload(r) },
  onLive: () => window.lives++,
})
</script>`

// The TypeScript client keeps its promises in Chromium.
func TestTheTypeScriptClientInChromium(t *testing.T) { drivePages(t, "page") }

// It keeps them when tabs hang and crash, storage is full or refused, and
// handlers throw.
func TestTabsInTroubleInChromium(t *testing.T) { drivePages(t, "tabs") }

// drivePages runs a program that drives pages of a server, and says ok.
func drivePages(t *testing.T, program string) {
	t.Helper()
	needChromium(t)
	t.Parallel()
	dir := t.TempDir()
	node(t, nil, "node_modules/typescript/bin/tsc", "-p", "../clients/typescript/tsconfig.json", "--outDir", dir)
	script, err := os.ReadFile(filepath.Join(dir, "gapless.js"))
	if err != nil {
		t.Fatal(err)
	}
	log := memlog.New(nil)
	defer log.Close()
	h := &pageServer{t: t, log: log, stream: newHandler(t, log, &sse.Options{Heartbeat: 200 * time.Millisecond, Retry: 50 * time.Millisecond}), script: script, mode: "serve", stop: make(chan struct{})}
	server := serve(t, h, false, nil)
	if got := node(t, []string{"E2E_TMP=" + t.TempDir()}, "node/"+program+".js", server.URL); strings.TrimSpace(got) != "ok" {
		t.Errorf("got %s", got)
	}
}

// The example in the client's README has the types that it says.
func TestTheExampleOfTheTypeScriptClient(t *testing.T) {
	needNode(t)
	const folder = "../clients/typescript"
	page, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```ts\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no example")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "example.ts")
	if err := os.WriteFile(file, []byte(example+"declare function loadOrders(): Promise<void>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	node(t, nil, "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "ES2022", "--module", "ES2022", "--moduleResolution", "bundler", "--lib", "ES2022,DOM", "--skipLibCheck", file)
}

// pageServer serves the page, the stream and what the test needs to know.
type pageServer struct {
	t      *testing.T
	log    *memlog.Log
	stream *sse.Handler
	script []byte

	mu              sync.Mutex
	mode            string
	stop            chan struct{} // closed when the mode changes
	n               int           // events
	open, opened    int           // streams
	refused, silent int
}

// ServeHTTP answers.
func (s *pageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, followPage)
	case "/gapless.js":
		w.Header().Set("Content-Type", "text/javascript")
		w.Write(s.script)
	case "/events":
		s.events(w, r)
	case "/append":
		s.append(r, n)
	case "/trim":
		s.trim(r)
	case "/mode":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mode = r.FormValue("mode")
		close(s.stop)
		s.stop = make(chan struct{})
	case "/blank":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>blank</title>")
	case "/streams":
		s.count(w, &s.open)
	case "/opened":
		s.count(w, &s.opened)
	case "/resets":
		resets := 0
		for _, n := range s.stream.Status().Resets {
			resets += int(n)
		}
		fmt.Fprint(w, resets)
	case "/refused":
		s.count(w, &s.refused)
	case "/silent":
		s.count(w, &s.silent)
	default:
		http.NotFound(w, r)
	}
}

func (s *pageServer) count(w http.ResponseWriter, n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(w, *n)
}

// events serves a stream until the mode changes.
func (s *pageServer) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mode, stop := s.mode, s.stop
	switch mode {
	case "refuse":
		s.refused++
	case "silent":
		s.silent++
	}
	s.open++
	s.opened++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	switch mode {
	case "refuse":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "silent":
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-stop: // not ended: the client must notice by itself
			<-r.Context().Done()
		}
	default:
		s.serve(w, r, stop)
	}
}

func (s *pageServer) serve(w http.ResponseWriter, r *http.Request, stop chan struct{}) {
	ctx, cancel := cancelWhen(r.Context(), stop)
	defer cancel()
	s.stream.ServeHTTP(w, r.WithContext(ctx))
}

func (s *pageServer) append(r *http.Request, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.n++
		event := cdc.Event{Type: "tick", Data: fmt.Appendf(nil, `{"n":%d}`, s.n)}
		if _, err := s.log.Append(r.Context(), event); err != nil {
			s.t.Error(err)
		}
	}
}

// trim removes everything.
func (s *pageServer) trim(r *http.Request) {
	b, err := s.log.Bounds(r.Context())
	if err == nil {
		_, err = cdc.Trim(r.Context(), s.log, b.Head)
	}
	if err != nil {
		s.t.Error(err)
	}
}
