package main_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gapless-go/gapless/internal/webdriver"
)

// feeds is what the page says of the two.
type feeds struct {
	Ours, Theirs           int // missed
	OursCount, TheirsCount string
	Note                   string
}

func readFeeds(b *webdriver.Browser) (f feeds) {
	b.Run(`const text = (s) => document.querySelector(s).textContent;
		return { Ours: Number(text('#ours b')), Theirs: Number(text('#theirs b')), OursCount: text('#ours .count'), TheirsCount: text('#theirs .count'), Note: text('#demonote') }`, &f)
	return f
}

// stopAppending waits until the page has judged the run.
func stopAppending(b *webdriver.Browser) {
	b.Run("const g = document.getElementById('generate'); if (g.getAttribute('aria-pressed') === 'true') g.click()", nil)
	b.Await("document.getElementById('demonote').textContent.startsWith('Done: ')")
}

// Whatever is cut and killed, the page's feed misses nothing, and the one by
// hand, which had the same breaks, does.
func TestCutAndKilledFromThePage(t *testing.T) {
	b := webdriver.Start(t)
	s := start(t, filepath.Join(t.TempDir(), "log.db"), "-demo")
	b.Open(s.url + "/")
	b.Await("document.body.dataset.state === 'live' && document.getElementById('ours')")

	t.Log("cut, then killed twice")
	b.Run("document.getElementById('cut').click()", nil)
	b.Await("document.getElementById('demonote').textContent.includes(': 2 connections of this page are broken')")
	b.Await("Number(document.querySelector('#theirs b').textContent) > 0")
	b.Await("document.getElementById('theirs').className.includes('lost')")
	first := killFromThePage(t, b)
	second := killFromThePage(t, b)
	if first == second {
		t.Errorf("both kills were of process %s", first)
	}
	stopAppending(b)
	checkFeeds(t, s, b)

	t.Log("killed while cut")
	b.Run("document.getElementById('generate').click()", nil)
	b.Await("Number(document.querySelector('#theirs .count').textContent.split(' ')[0]) > 20")
	b.Run("document.getElementById('cut').click(); document.getElementById('kill').click()", nil)
	b.Await("document.getElementById('demonote').textContent.includes('serves the same file')")
	stopAppending(b)
	checkFeeds(t, s, b)

	checkReadable(t, b)
	checkWidths(t, b)
}

// killFromThePage presses the button and returns which process was killed.
func killFromThePage(t *testing.T, b *webdriver.Browser) string {
	t.Helper()
	b.Run("document.getElementById('demonote').textContent = ''; document.getElementById('kill').click()", nil)
	b.Await("document.getElementById('demonote').textContent.includes('serves the same file')")
	said := regexp.MustCompile(`Process (\d+) was killed.* Process (\d+) serves`).FindStringSubmatch(readFeeds(b).Note)
	if said == nil || said[1] == said[2] {
		t.Fatalf("the page says %q, want two processes", readFeeds(b).Note)
	}
	return said[1]
}

// checkFeeds compares what the page says with the log.
func checkFeeds(t *testing.T, s *server, b *webdriver.Browser) {
	t.Helper()
	f := readFeeds(b)
	t.Logf("%+v", f)
	if f.Ours != 0 || strings.Contains(f.OursCount, "twice") || strings.Contains(f.OursCount, "to come") {
		t.Errorf("Gapless's feed: %d missed, %s; want every event once", f.Ours, f.OursCount)
	}
	if f.Theirs == 0 {
		t.Errorf("the feed by hand missed nothing: %s", f.TheirsCount)
	}
	var appended []string
	b.Run("return [...document.querySelectorAll('#ours .count, #theirs .count')].map((e) => e.textContent.split(' ')[0])", &appended)
	n, err := strconv.Atoi(appended[0])
	if err != nil || appended[1] != appended[0] {
		t.Fatalf("the feeds say that %v events were appended", appended)
	}
	t.Log("each event of the run is in the log once, in order")
	head := s.health(t).Head
	got := 0
	err = frames(t.Context(), fmt.Sprintf("%s/events?after=%d&topic=demo", s.url, head-uint64(n)), "", func(f frame) bool {
		if f.name == "" {
			got++
			if want := fmt.Sprintf(`"key":"n-%d"`, got); !strings.Contains(f.data, want) {
				t.Errorf("event %d of the run is %s, want %s", got, f.data, want)
			}
		}
		return f.name != "cdc.live"
	})
	if err != nil || got != n {
		t.Errorf("the log has %d events of the run (%v), the page appended %d", got, err, n)
	}
	if !b.Is("counts.gaps === 0 && counts.lost === 0") {
		t.Error("the page counts gaps")
	}
}

func TestTheDemonstrationIsForItsOwnPage(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"), "-demo")
	before := s.do(t, "GET", "/demo/state", "", "").body
	for _, c := range []struct {
		name   string
		header http.Header
		host   string
		want   int
	}{
		{"another origin", http.Header{"Content-Type": {"application/json"}, "Origin": {"http://evil.example"}}, "", 403},
		{"another site", http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"cross-site"}}, "", 403},
		{"another name of this address", http.Header{"Content-Type": {"application/json"}, "Origin": {"http://evil.example"}}, "evil.example", 403},
		{"a form", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "", 415},
	} {
		for _, path := range []string{"/demo/kill", "/demo/cut?page=a"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header, req.Host, req.Close = c.header, c.host, true
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("%s, %s: got status %d, want %d", c.name, path, resp.StatusCode, c.want)
			}
		}
	}
	if a := s.do(t, "GET", "/demo/kill", "", ""); a.status != 404 {
		t.Errorf("GET /demo/kill: got status %d, want 404", a.status)
	}
	if after := s.do(t, "GET", "/demo/state", "", "").body; after != before {
		t.Errorf("another process serves: %s, before %s", after, before)
	}
	plain := start(t, filepath.Join(t.TempDir(), "log.db"))
	if a := plain.do(t, "POST", "/demo/kill", jsonType, "{}"); a.status != 404 && a.status != 405 {
		t.Errorf("without -demo: got status %d", a.status)
	}
	if a := plain.do(t, "GET", "/", "", ""); strings.Contains(a.body, "demo.js") {
		t.Error("without -demo the page has the buttons")
	}
}

// The process that serves ends with the one that was started.
func TestTheDemonstrationEndsWhole(t *testing.T) {
	gone := func(s *server) bool {
		_, err := do(context.WithoutCancel(t.Context()), "GET", s.url+"/healthz", "", nil)
		return err != nil
	}
	db := filepath.Join(t.TempDir(), "log.db")
	s := start(t, db, "-demo")
	s.kill()
	await(t, "the server to end with what started it", func() bool { return gone(s) })
	s = s.restart(t, db, "-demo")
	if code, took := s.stop(t, syscall.SIGTERM); code != 0 || !gone(s) {
		t.Errorf("got exit %d after %v, and the server is gone: %t", code, took, gone(s))
	}
}
