package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/internal/webdriver"
)

// JavaScript rounds numbers of more than 15 digits; a page that shows or sends
// them must not.
func TestThePageShowsAndSendsNumbersAsTheyAre(t *testing.T) {
	const data = `{"n":12345678901234567890,"price":1.10,"far":1e400,"text":"12345678901234567890 \"data\":7"}`
	b := webdriver.Start(t)
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	s.append(t, `{"topic":"t \"data\":1","type":"big","data":`+data+`}`)
	b.Open(s.url + "/")
	b.Await(rows(".event", 1))
	b.Run("document.querySelector('#events summary').click()", nil)
	b.Await("document.querySelector('#events .more')")
	for _, where := range []string{".data", ".more"} {
		var shown string
		b.Run("return document.querySelector('#events "+where+"').textContent", &shown)
		for _, number := range []string{"12345678901234567890", "1.10", "1e400"} {
			if !strings.Contains(shown, number) {
				t.Errorf("%s shows %s, want %s as it was sent", where, shown, number)
			}
		}
	}

	t.Log("appended with the form")
	b.Run(`const f = document.querySelector('#append').elements; f.data.value = '{"n": 12345678901234567890,\n "price": 1.10}'; document.querySelector('#append .primary').click()`, nil)
	b.Await("document.getElementById('appended').textContent.startsWith('Appended as ')")
	b.Await(rows(".event", 2))
	err := frames(t.Context(), s.url+"/events?after=1", "", func(f frame) bool {
		if f.name != "" {
			return true
		}
		if !strings.Contains(f.data, "12345678901234567890") || !strings.Contains(f.data, "1.10") {
			t.Errorf("the form appended %s, want the numbers as they were typed", f.data)
		}
		return false
	})
	if err != nil {
		t.Error(err)
	}
	b.Run(`document.querySelector('#append').elements.data.value = '{"n": 01}, "id": "x"'; document.querySelector('#append .primary').click()`, nil)
	b.Await("document.getElementById('appended').textContent.startsWith('The data is not JSON')")
}

// forgetful is a hop on the way to the server that drops Last-Event-ID when it
// is told to.
type forgetful struct {
	*httptest.Server
	drops atomic.Bool
}

func startForgetful(t *testing.T, target string) *forgetful {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{}
	transport := &http.Transport{}
	f.Server = httptest.NewServer(&httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		if f.drops.Load() {
			r.Out.Header.Del("Last-Event-ID")
		}
	}})
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
		transport.CloseIdleConnections()
	})
	return f
}

// A hop that drops Last-Event-ID makes a native EventSource lose what came
// meanwhile, in silence: the page says so, filtered or not.
func TestThePageShowsALostResumption(t *testing.T) {
	b := webdriver.Start(t)
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	hop := startForgetful(t, s.url)
	b.Open(hop.URL + "/")
	for _, topic := range []string{"", "orders"} {
		t.Run("topic "+topic, func(t *testing.T) {
			hop.drops.Store(false)
			b.Run(fmt.Sprintf("const f = document.getElementById('filter').elements; f.start.value = 'latest'; f.topic.value = '%s'; document.querySelector('#filter .primary').click()", topic), nil)
			b.Await("document.body.dataset.state === 'live'")
			s.append(t, `{"topic":"orders","type":"a"}`)
			b.Await(rows(".event", 1))

			t.Log("cut: it resumes")
			hop.CloseClientConnections()
			b.Await("document.body.dataset.state !== 'live'")
			s.append(t, `{"topic":"orders","type":"b"}`)
			b.Await("document.body.dataset.state === 'live' && " + rows(".event", 2))
			if b.Is("document.querySelector('#events .mark.reset') || counts.gaps || counts.lost") {
				t.Error("the page shows a loss where nothing was lost")
			}

			t.Log("cut, and the hop forgets")
			hop.drops.Store(true)
			hop.CloseClientConnections()
			b.Await("document.body.dataset.state !== 'live'")
			s.append(t, `{"topic":"orders","type":"c"}`)
			b.Await("document.body.dataset.state === 'live'")
			b.Await("document.querySelector('#events .mark.reset')?.textContent.includes('Last-Event-ID')")
			b.Await("document.getElementById('gaps').className === 'bad' && document.getElementById('gapsnote').textContent.includes('missing')")
		})
	}
}

// HEAD is answered as the handler answers it: with the bounds.
func TestHeadHasTheBounds(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	s.append(t, `{"type":"a"}`)
	a := s.do(t, http.MethodHead, "/events", "", "")
	if want := s.health(t).Epoch + " 0 1 1"; a.status != http.StatusOK || a.header.Get("Gapless-Bounds") != want || a.body != "" {
		t.Errorf("HEAD /events: got %d, bounds %q, body %q; want 200, %q, none", a.status, a.header.Get("Gapless-Bounds"), a.body, want)
	}
	for _, path := range []string{"/", "/healthz", "/openapi.json"} {
		get, head := s.do(t, http.MethodGet, path, "", ""), s.do(t, http.MethodHead, path, "", "")
		if head.status != get.status || head.header.Get("Content-Type") != get.header.Get("Content-Type") || head.body != "" {
			t.Errorf("HEAD %s: got %d %s, want what GET has, %d %s", path, head.status, head.header.Get("Content-Type"), get.status, get.header.Get("Content-Type"))
		}
	}
	if a := s.do(t, http.MethodHead, "/events?after=!", "", ""); a.status != http.StatusBadRequest {
		t.Errorf("HEAD /events?after=!: got %d, want 400", a.status)
	}
}
