package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// pageCache keeps pages for ever, and counts what the origin was asked for.
type pageCache struct {
	t      *testing.T
	origin *httptest.Server
	spoil  func(text string) string // nil does nothing

	mu    sync.Mutex
	pages map[string]string
	asked int // pages of the origin
	hits  int
}

func (c *pageCache) counts() (asked, hits int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.hits
}

// ServeHTTP answers; an open stream holds up nobody.
func (c *pageCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("logpage") {
		c.origin.Config.Handler.ServeHTTP(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	text, ok := c.pages[r.URL.RawQuery]
	if ok {
		c.hits++
	} else {
		c.asked++
		response, err := http.Get(c.origin.URL + r.URL.String())
		if err != nil {
			c.t.Error(err)
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			c.t.Errorf("%s: status %d, %v", r.URL, response.StatusCode, err)
		}
		text = string(body)
		c.pages[r.URL.RawQuery] = text
	}
	if c.spoil != nil {
		text = c.spoil(text)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
}

func numbered(t *testing.T, n int) *memlog.Log {
	t.Helper()
	log := memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	var events []cdc.Event
	for i := range n {
		events = append(events, cdc.Event{Data: []byte(strconv.Itoa(i + 1))})
	}
	if _, err := log.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	return log
}

// followed is what the program cached.js prints.
type followed struct {
	Got      []int
	Failures []string
	Resets   int
}

// The TypeScript client in Node.js takes pages from a cache, goes on with the
// stream, and whatever the cache makes of a page, gets each event once.
func TestTheTypeScriptClientTakesPages(t *testing.T) {
	file := cachedProgram(t)
	const n = 23
	cut := func(from, to int) func(string) string { // leaves out these frames
		return func(text string) string {
			frames := strings.SplitAfter(text, "\n\n")
			return strings.Join(slices.Delete(frames, from, to), "")
		}
	}
	for name, spoil := range map[string]func(string) string{
		"whole":                 nil,
		"without an end":        cut(6, 7),
		"without the last":      cut(5, 6),
		"without an event":      cut(2, 3),
		"without a hello":       cut(0, 1),
		"cut in a frame":        func(text string) string { return text[:len(text)/2] },
		"of another log":        func(text string) string { return strings.ReplaceAll(text, "id: ", "id: x") },
		"a page to log in":      func(string) string { return "<!doctype html><title>log in</title>" },
		"with tags of old days": func(text string) string { return strings.Replace(text, "\n\n", "~\n\n", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			log := numbered(t, n)
			handler := newHandler(t, log, &sse.Options{Pages: sse.Pages{Size: 5}, Retry: 20 * time.Millisecond})
			cache := &pageCache{t: t, origin: serve(t, handler, false, nil), pages: map[string]string{}, spoil: spoil}
			server := serve(t, cache, false, nil)
			for run := range map[bool]int{true: 2, false: 1}[spoil == nil] {
				var out followed
				text := node(t, nil, file, server.URL+"/events?after=beginning", strconv.Itoa(n))
				if err := json.Unmarshal([]byte(text), &out); err != nil {
					t.Fatalf("%v: %s", err, text)
				}
				if want := oneTo(n); !slices.Equal(out.Got, want) || out.Resets > 0 {
					t.Errorf("got %v, %d resets; want %v", out.Got, out.Resets, want)
				}
				if asked, hits := cache.counts(); spoil == nil && (len(out.Failures) > 0 || asked != 4 || hits != 4*run) {
					t.Errorf("run %d: %q, %d pages from the origin, %d from the cache", run, out.Failures, asked, hits)
				}
				if spoil != nil && !strings.Contains(fmt.Sprint(out.Failures), "the page ") {
					t.Errorf("run %d: onError was told %q", run, out.Failures)
				}
			}
		})
	}
}

// cachedProgram is node/cached.js where it finds the package.
func cachedProgram(t *testing.T) (file string) {
	t.Helper()
	program, err := os.ReadFile("node/cached.js")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(viteProject(t), "cached.js")
	if err := os.WriteFile(file, program, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func oneTo(n int) (all []int) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}
