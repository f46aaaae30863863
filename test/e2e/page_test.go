package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// pageServer serves pages, the stream and what the programs that drive the
// pages need to know.
type pageServer struct {
	t      *testing.T
	log    *memlog.Log
	mux    *http.ServeMux
	stream *sse.Handler
	mine   *sse.Handler // the events of the user who is logged in

	mu           sync.Mutex
	mode         string        // of events
	stop         chan struct{} // closed when the mode changes
	n            int           // events
	open, opened int           // streams
	refused      int           // requests for a stream, by a status or by silence
}

// newPageServer serves the files of a folder, if it is not empty, until the
// end of the test.
func newPageServer(t *testing.T, site string) *pageServer {
	t.Helper()
	log := memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	s := &pageServer{t: t, log: log, mux: http.NewServeMux(), mode: "serve", stop: make(chan struct{})}
	options := sse.Options{Heartbeat: 200 * time.Millisecond, Retry: 50 * time.Millisecond}
	s.stream = newHandler(t, log, &options)
	options.Authorize = s.authorize
	s.mine = newHandler(t, log, &options)

	s.mux.Handle("/", http.FileServer(http.Dir(site)))
	s.mux.HandleFunc("/blank", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>blank</title>")
	})
	s.mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { s.events(s.stream, w, r) })
	s.mux.HandleFunc("/mine", func(w http.ResponseWriter, r *http.Request) { s.events(s.mine, w, r) })
	s.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: r.FormValue("user")})
	})
	s.mux.HandleFunc("/append", s.append)
	s.mux.HandleFunc("/trim", s.trim)
	s.mux.HandleFunc("/mode", s.setMode)
	s.mux.HandleFunc("/state", s.state)
	s.mux.HandleFunc("/counts", s.counts)
	return s
}

// ServeHTTP answers.
func (s *pageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// authorize lets a user follow what is the user's own. Mode "trusting" forgets
// to compare the user for whom the page asks with the one who is logged in.
func (s *pageServer) authorize(r *http.Request) (sse.Grant, error) {
	user, err := r.Cookie("user")
	if err != nil {
		return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "log in"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != "trusting" && r.URL.Query().Get("user") != user.Value {
		return sse.Grant{}, &sse.AccessError{Status: http.StatusForbidden, Detail: "another user is logged in"}
	}
	return sse.Grant{Scope: sse.Topics("user:" + user.Value)}, nil
}

// events serves a stream until the mode changes.
func (s *pageServer) events(h *sse.Handler, w http.ResponseWriter, r *http.Request) {
	mode, stop, done := s.enter()
	defer done()
	switch status, err := strconv.Atoi(mode); {
	case err == nil:
		time.Sleep(100 * time.Millisecond) // a refusal that takes longer than the first pause is no success
		http.Error(w, "not now", status)
	case mode == "page": // as of a proxy that asks to log in
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>log in</title>")
	case mode == "silent":
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush()
		<-r.Context().Done() // not ended when the mode changes: the client must notice by itself
	default:
		if mode == "forgetful" { // a hop that drops the position
			r.Header.Del("Last-Event-ID")
			r.URL.RawQuery = ""
		}
		ctx, cancel := cancelWhen(r.Context(), stop)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	}
}

// enter counts a request for a stream until done is called.
func (s *pageServer) enter() (mode string, stop chan struct{}, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.opened++
	switch s.mode {
	case "serve", "trusting", "forgetful":
	default:
		s.refused++
	}
	return s.mode, s.stop, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}
}

func (s *pageServer) setMode(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = r.FormValue("mode")
	close(s.stop)
	s.stop = make(chan struct{})
}

// append appends n events, or one with the data.
func (s *pageServer) append(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.Atoi(r.FormValue("n"))
	for range max(n, 1) {
		s.n++
		data := r.FormValue("data")
		if data == "" {
			data = fmt.Sprintf(`{"n":%d}`, s.n)
		}
		event := cdc.Event{Topic: r.FormValue("topic"), Type: "tick", Data: []byte(data)}
		if _, err := s.log.Append(r.Context(), event); err != nil {
			s.t.Error(err)
		}
	}
}

// trim removes everything.
func (s *pageServer) trim(_ http.ResponseWriter, r *http.Request) {
	b, err := s.log.Bounds(r.Context())
	if err == nil {
		_, err = cdc.Trim(r.Context(), s.log, b.Head)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// state answers with what the events made, and the cursor up to which they did.
func (s *pageServer) state(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock() // nothing is appended between the two
	defer s.mu.Unlock()
	b, err := s.log.Bounds(r.Context())
	if err != nil {
		s.t.Error(err)
	}
	s.json(w, map[string]any{"n": s.n, "cursor": cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}})
}

func (s *pageServer) counts(w http.ResponseWriter, _ *http.Request) {
	resets := 0
	for _, n := range s.stream.Status().Resets {
		resets += int(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.json(w, map[string]int{"streams": s.open, "opened": s.opened, "refused": s.refused, "resets": resets})
}

func (s *pageServer) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}
