package sse_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// TestCookies is the recipe for pages of the same site.
func TestCookies(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		session, err := r.Cookie("session")
		if err != nil || session.Value != "ada" {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "log in"}
		}
		return sse.Grant{Filter: cdc.Filter{Topics: []string{"user:ada"}}}, nil
	}})
	wantStatus(t, s, "", 401)
	f := s.follow(t, "", "Cookie", "session=ada")
	f.want("cdc.hello")
	f.want("cdc.live")
}

// TestBearerTokens is the recipe for clients that can send headers.
func TestBearerTokens(t *testing.T) {
	expires := time.Now().Add(time.Second)
	s := serve(t, nil, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
		}
		return sse.Grant{Expires: expires}, nil
	}})
	wantStatus(t, s, "", 401)
	f := s.follow(t, "", "Authorization", "Bearer secret")
	f.want("cdc.hello")
	f.want("cdc.live")
	f.want("cdc.reconnect") // with the next token
	f.wantEnd()
}

// TestTickets is the recipe for the native EventSource of another site.
func TestTickets(t *testing.T) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	tickets := &sse.Tickets{Key: key, Lifetime: time.Minute}
	s := serve(t, nil, &sse.Options{Authorize: tickets.Authorize})
	issued, err := tickets.Issue(sse.Grant{Filter: cdc.Filter{Topics: []string{"mine"}}})
	if err != nil {
		t.Fatal(err)
	}
	query := "?ticket=" + url.QueryEscape(issued)
	f := s.follow(t, query)
	id := f.want("cdc.hello").id
	wantStatus(t, s, query+"&topic=theirs", 403)

	late, err := (&sse.Tickets{Key: key, Exchange: time.Nanosecond}).Issue(sse.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	query = "?ticket=" + url.QueryEscape(late)
	wantStatus(t, s, query, 401) // too late to open a stream
	again := s.follow(t, query, "Last-Event-ID", id)
	again.want("cdc.hello")

	first, second, _ := strings.Cut(issued, ".")
	for _, forged := range []string{"", ".", "x", first, first + ".", first + "." + second[1:], "e30." + second} {
		wantStatus(t, s, "?ticket="+forged, 401, "Last-Event-ID", id)
	}
	other := &sse.Tickets{Key: append([]byte{1}, key...)}
	if foreign, err := other.Issue(sse.Grant{}); err != nil {
		t.Error(err)
	} else {
		wantStatus(t, s, "?ticket="+foreign, 401)
	}
	if _, err := (&sse.Tickets{Key: []byte("short")}).Issue(sse.Grant{}); err == nil {
		t.Error("a short key was accepted")
	}
	expired, err := tickets.Issue(sse.Grant{Expires: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, "?ticket="+expired, 401, "Last-Event-ID", id)
}

func wantStatus(t *testing.T, s *server, query string, want int, headers ...string) {
	t.Helper()
	response, cancel := s.get(t, query, headers...)
	defer cancel()
	_ = response.Body.Close()
	if response.StatusCode != want {
		t.Errorf("%s: status %d, want %d", query, response.StatusCode, want)
	}
}

func TestUnavailableAuthorizationKeepsBrowsersComing(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
		return sse.Grant{}, &sse.AccessError{Status: http.StatusServiceUnavailable}
	}})
	f := s.follow(t, "")
	if got := f.want("cdc.reconnect"); got.retry == "" {
		t.Errorf("reconnect %+v without a retry", got)
	}
	f.wantEnd()
}

func TestCORS(t *testing.T) {
	const app, other = "https://app.example.com", "https://other.example.com"
	tests := []struct {
		name                          string
		cors                          *sse.CORS
		origin, allow, creds, varying string
	}{
		{"none", nil, app, "", "", ""},
		{"listed", &sse.CORS{Origins: []string{app}, Credentials: true}, app, app, "true", "Origin"},
		{"not listed", &sse.CORS{Origins: []string{app}, Credentials: true}, other, "", "", "Origin"},
		{"no origin", &sse.CORS{Origins: []string{app}}, "", "", "", "Origin"},
		{"any", &sse.CORS{Origins: []string{"*"}}, other, "*", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil, &sse.Options{CORS: test.cors})
			for _, method := range []string{"GET", "OPTIONS", "POST"} {
				target := s.URL
				if method == "GET" {
					target += "?after=a.b.c" // a problem must be readable, too
				}
				r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
				if err != nil {
					t.Fatal(err)
				}
				if test.origin != "" {
					r.Header.Set("Origin", test.origin)
				}
				response, err := s.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				h := response.Header
				if h.Get("Access-Control-Allow-Origin") != test.allow || h.Get("Access-Control-Allow-Credentials") != test.creds || h.Get("Vary") != test.varying {
					t.Errorf("%s: headers %v", method, h)
				}
				if got := h.Get("Access-Control-Allow-Headers"); (method == "OPTIONS" && test.allow != "") != strings.Contains(got, "Last-Event-ID") {
					t.Errorf("%s: Access-Control-Allow-Headers is %q", method, got)
				}
			}
		})
	}
	bad := &sse.Options{CORS: &sse.CORS{Origins: []string{"*"}, Credentials: true}}
	if _, err := sse.NewHandler(memlog.New(nil), bad); err == nil {
		t.Error("credentials for any origin were accepted")
	}
}
