package e2e_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// cached is nginx with a cache that keeps whatever it may keep, for a long time;
// it makes GET of HEAD, as nginx with a cache does.
func cached(t *testing.T, opts *sse.Options) (log *memlog.Log, url string) {
	t.Helper()
	log = memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	server := serve(t, newHandler(t, log, opts), false, nil)
	front := startNginx(t, strings.TrimPrefix(server.URL, "http://"), "proxy_cache cache;", "proxy_cache_valid any 1h;", "proxy_cache_lock on;", "add_header X-Cache $upstream_cache_status always;")
	return log, "http://" + front + "/events"
}

func appendPayloads(t *testing.T, log *memlog.Log, topic string, data ...string) {
	t.Helper()
	for _, d := range data {
		if _, err := log.Append(t.Context(), cdc.Event{Topic: topic, Data: []byte(d)}); err != nil {
			t.Fatal(err)
		}
	}
}

// A log behind a cache is the log as it is now: bounds and pages are not those
// of an earlier answer, though the addresses are the same.
func TestACacheKeepsNothingOfALog(t *testing.T) {
	needNginx(t)
	log, url := cached(t, nil)
	origin, err := remote.Open(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer origin.Close()
	for round := range uint64(3) {
		appendPayloads(t, log, "t", `1`, `2`)
		bounds, err := origin.Bounds(t.Context())
		if err != nil || bounds.Head != 2*(round+1) {
			t.Fatalf("bounds %+v, %v; want the head %d", bounds, err, 2*(round+1))
		}
		page, err := origin.Read(t.Context(), cdc.Cursor{Epoch: bounds.Epoch}, 100)
		if err != nil || uint64(len(page.Events)) != bounds.Head {
			t.Fatalf("%d events, %v; want %d", len(page.Events), err, bounds.Head)
		}
		for range 2 {
			response, err := http.Head(url)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got := response.Header.Get("X-Cache"); response.StatusCode != http.StatusOK || got != "MISS" {
				t.Errorf("HEAD has status %d, which the cache calls %q, want MISS", response.StatusCode, got)
			}
		}
	}
}

// Two users ask for the same address, with other cookies: each gets what is
// theirs, and a refusal is not kept for the next one.
func TestACacheKeepsNothingOfAUser(t *testing.T) {
	needNginx(t)
	log, url := cached(t, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		user, err := r.Cookie("user")
		if err != nil {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
		}
		return sse.Grant{Scope: sse.Topics(user.Value)}, nil
	}})
	appendPayloads(t, log, "ada", `"ada's"`)
	appendPayloads(t, log, "bob", `"bob's"`)
	for _, user := range []string{"", "ada", "bob", "", "ada"} {
		for _, query := range []string{"?after=beginning&limit=10", "?after=beginning"} {
			status, text := asUser(t, url+query, user)
			if user == "" {
				if status != http.StatusUnauthorized {
					t.Errorf("nobody has status %d: %s", status, text)
				}
				continue
			}
			other := map[string]string{"ada": "bob", "bob": "ada"}[user]
			if status != http.StatusOK || !strings.Contains(text, user+"'s") || strings.Contains(text, other+"'s") {
				t.Errorf("%s of %s: status %d with %s", query, user, status, text)
			}
		}
	}
}

// asUser returns what comes until the stream is live.
func asUser(t *testing.T, url, user string) (status int, text string) {
	t.Helper()
	jar := http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if user != "" {
			r.AddCookie(&http.Cookie{Name: "user", Value: user})
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			status = response.StatusCode
		}
		return response, err
	})}
	err := readStream(t.Context(), &jar, url, func(l report.Line) bool {
		text += l.Data + "\n"
		return l.Event != "cdc.live"
	})
	if err != nil && err != io.EOF && status == http.StatusOK {
		t.Errorf("%s: %v", url, err)
	}
	return status, text
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
