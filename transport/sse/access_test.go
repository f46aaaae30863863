package sse_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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
		return sse.Grant{Scope: sse.Topics("user:ada")}, nil
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
		return sse.Grant{Scope: sse.Everything(), Expires: expires}, nil
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
	tickets := newTickets(t, key, &sse.TicketOptions{Lifetime: time.Minute})
	s := serve(t, nil, &sse.Options{Authorize: tickets.Authorize})
	issued, err := tickets.Issue(sse.Grant{Scope: sse.Topics("mine")})
	if err != nil {
		t.Fatal(err)
	}
	query := "?ticket=" + url.QueryEscape(issued)
	f := s.follow(t, query)
	id := f.want("cdc.hello").id
	wantStatus(t, s, query+"&topic=theirs", 403)

	late, err := newTickets(t, key, &sse.TicketOptions{Exchange: time.Nanosecond}).Issue(sse.Grant{Scope: sse.Everything()})
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
	other := newTickets(t, append([]byte{1}, key...), nil)
	if foreign, err := other.Issue(sse.Grant{Scope: sse.Everything()}); err != nil {
		t.Error(err)
	} else {
		wantStatus(t, s, "?ticket="+foreign, 401)
	}
	if _, err := sse.NewTickets([]byte("short"), nil); err == nil {
		t.Error("a short key was accepted")
	}
	if _, err := sse.NewTickets(key, &sse.TicketOptions{Lifetime: -1}); err == nil {
		t.Error("a negative lifetime was accepted")
	}
	expired, err := tickets.Issue(sse.Grant{Scope: sse.Everything(), Expires: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, "?ticket="+expired, 401, "Last-Event-ID", id)
}

func newTickets(t *testing.T, key []byte, opts *sse.TicketOptions) *sse.Tickets {
	t.Helper()
	tickets, err := sse.NewTickets(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	return tickets
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

// A HEAD request shows how far the log is, so it is refused as a GET is.
func TestRefusedHead(t *testing.T) {
	for _, status := range []int{401, 403, 500, 503} {
		s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
			return sse.Grant{}, &sse.AccessError{Status: status}
		}})
		response, err := s.Client().Head(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if bounds := response.Header.Get("Gapless-Bounds"); response.StatusCode != status || bounds != "" {
			t.Errorf("HEAD that is refused with %d: status %d and bounds %q, want %d and none", status, response.StatusCode, bounds, status)
		}
	}
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
}

func TestCORSThatCannotBeMeant(t *testing.T) {
	const app = "https://app.example.com"
	for name, bad := range map[string]*sse.CORS{
		"credentials for any origin": {Origins: []string{"*"}, Credentials: true},
		"any header":                 {Origins: []string{app}, Headers: []string{"*"}},
		"two headers in one":         {Origins: []string{app}, Headers: []string{"traceparent, x"}},
		"no header":                  {Origins: []string{app}, Headers: []string{""}},
	} {
		if _, err := newHandler(memlog.New(nil), &sse.Options{CORS: bad}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// A page that is traced sends headers of its own, for which its browser asks.
func TestCORSHeaders(t *testing.T) {
	s := serve(t, nil, &sse.Options{CORS: &sse.CORS{Origins: []string{"*"}, Headers: []string{"traceparent", "X-Tenant"}}})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://app.example.com")
	r.Header.Set("Access-Control-Request-Method", "GET")
	r.Header.Set("Access-Control-Request-Headers", "traceparent,x-tenant")
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got, want := response.Header.Get("Access-Control-Allow-Headers"), "Authorization, Cache-Control, Last-Event-ID, traceparent, X-Tenant"; got != want {
		t.Errorf("Access-Control-Allow-Headers is %q, want %q", got, want)
	}
}
