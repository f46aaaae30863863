package sse_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestProblems(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: authorizeMine})
	tests := []problemTest{
		{"malformed after", "?after=a.b.c.d", "", 400, "after must be"},
		{"malformed query", "?after=%zz", "", 400, "the query string"},
		{"heartbeat", "?heartbeat=never", "", 400, "heartbeat must be"},
		{"many filters", "?" + strings.Repeat("key=a&", 300), "", 400, "300 filter values"},
		{"not authorized", "", "none", 401, "say who you are"},
		{"broken authorization", "", "broken", 403, ""},
		{"not allowed", "?topic=theirs", "", 403, "nothing that the filter selects"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkProblem(t, s, test) })
	}
}

type problemTest struct {
	name, query, auth string
	status            int
	detail            string
}

// authorizeMine grants topics that begin with mine.
func authorizeMine(r *http.Request) (sse.Grant, error) {
	switch r.Header.Get("Authorization") {
	case "none":
		return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "say who you are"}
	case "broken":
		return sse.Grant{}, errors.New("password of the database is xyz")
	}
	return sse.Grant{Scope: sse.TopicPrefixes("mine:")}, nil
}

func checkProblem(t *testing.T, s *server, test problemTest) {
	t.Helper()
	response, cancel := s.get(t, test.query, "Authorization", test.auth)
	defer cancel()
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Status        int
		Title, Detail string
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != test.status || p.Status != test.status || p.Title == "" || !strings.HasPrefix(p.Detail, test.detail) {
		t.Errorf("status %d, %+v; want %d %q", response.StatusCode, p, test.status, test.detail)
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if strings.Contains(string(body), "xyz") {
		t.Error("the text of a foreign error reached the client")
	}
}

func TestGrantNarrowsWhatIsAskedFor(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: authorizeMine})
	f := s.follow(t, "?topic=mine:1&topic=theirs")
	f.want("cdc.hello")
	f.want("cdc.live")
	for _, topic := range []string{"theirs", "mine:2", "mine:1"} {
		if _, err := s.log.Append(t.Context(), cdc.Event{Topic: topic, Data: []byte(`"` + topic + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if got.name == "" && !got.comment {
			if p := got.event(t).payload(); p != `"mine:1"` {
				t.Errorf("payload %s, want mine:1", p)
			}
			return
		}
	}
}

func TestMethods(t *testing.T) {
	s := serve(t, nil, nil)
	for method, want := range map[string]int{http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405, http.MethodDelete: 405} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: status %d, %v; want %d", method, response.StatusCode, err, want)
		}
		switch method {
		case http.MethodHead:
			if got := response.Header.Get("Content-Type"); got != "text/event-stream" || len(body) > 0 {
				t.Errorf("HEAD: content type %q, body %q", got, body)
			}
		default:
			if got := response.Header.Get("Allow"); got != "GET, HEAD, OPTIONS" {
				t.Errorf("%s: Allow is %q", method, got)
			}
		}
	}
}

func TestUnstreamableResponse(t *testing.T) {
	handler, err := newHandler(memlog.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handler.Close() }()
	wrapped := map[string]http.Handler{
		"TimeoutHandler": http.TimeoutHandler(handler, time.Minute, ""),
		"no Unwrap": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		}),
		"no deadline": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(struct {
				http.ResponseWriter
				http.Flusher
			}{w, w.(http.Flusher)}, r)
		}),
	}
	for name, h := range wrapped {
		s := httptest.NewServer(h)
		response, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != 500 || !strings.Contains(string(body), "outside of it") {
			t.Errorf("%s: status %d, %s", name, response.StatusCode, body)
		}
		s.Close()
	}
}
