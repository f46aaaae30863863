package sse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// pageOf is the query for a page of the log.
func pageOf(t testing.TB, log cdc.Source, from, to uint64) string {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("?logpage=%s.%d-%d", b.Epoch, from, to)
}

// appendNumbers appends the events first to last, with their number as data.
// The topic is even or odd.
func appendNumbers(t testing.TB, log cdc.Log, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		topic := map[int]string{0: "even", 1: "odd"}[n%2]
		if _, err := cdc.Append(t.Context(), log, cdc.Event{Topic: topic, Data: []byte(strconv.Itoa(n))}); err != nil {
			t.Fatal(err)
		}
	}
}

// body returns a whole answer.
func (s *server) body(t testing.TB, query string, headers ...string) (*http.Response, string) {
	t.Helper()
	response, cancel := s.get(t, query, headers...)
	defer cancel()
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v after %s", query, err, text)
	}
	return response, string(text)
}

// wantPage reads a page with these payloads, and returns its first and its last
// cursor.
func (s *server) wantPage(t testing.TB, query string, payloads ...string) (from, to cdc.Cursor) {
	t.Helper()
	f := s.follow(t, query)
	hello := f.want("cdc.hello")
	for _, data := range payloads {
		f.wantPayload(data)
	}
	end := f.want("cdc.reconnect")
	if want := fmt.Sprintf(`{"events":%d}`, len(payloads)); end.data != want || end.retry != "" || hello.retry != "" {
		t.Errorf("%s ends with %+v, want the data %s, and no retry", query, end, want)
	}
	f.wantEnd()
	return cursorOf(t, hello.id), cursorOf(t, end.id)
}

func TestAPageIsAReplayWithTwoEnds(t *testing.T) {
	s := serve(t, nil, &sse.Options{Pages: sse.Pages{Size: 5}, Replay: sse.Replay{PageSize: 2}})
	appendNumbers(t, s.log, 1, 12)
	first, next := pageOf(t, s.log, 0, 5), pageOf(t, s.log, 5, 10)
	from, to := s.wantPage(t, first, `1`, `2`, `3`, `4`, `5`)
	if from.Seq != 0 || to.Seq != 5 || to.Tag == "" {
		t.Errorf("the page is from %v to %v", from, to)
	}
	if from, _ := s.wantPage(t, next, `6`, `7`, `8`, `9`, `10`); from != to {
		t.Errorf("the page after %v begins at %v", to, from)
	}
	s.wantPage(t, first+"&topic=odd", `1`, `3`, `5`)
	s.wantPage(t, first+"&topic=even", `2`, `4`)
	s.wantPage(t, first+"&topic=none")
	if _, to := s.wantPage(t, next+"&topic=odd", `7`, `9`); to.Seq != 10 || to.Tag == "" {
		t.Errorf("a page whose last event is filtered ends at %v, want the tag of that event", to)
	}

	response, text := s.body(t, first)
	if got := response.Header.Get("Cache-Control"); got != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control is %q", got)
	}
	appendNumbers(t, s.log, 13, 20)
	again, same := s.body(t, first, "Last-Event-ID", "7")
	if same != text || again.Header.Get("ETag") != response.Header.Get("ETag") {
		t.Errorf("the page was\n%s\nand is\n%s", text, same)
	}
	if _, same := s.body(t, first+"&after=3&lastEventId=4&heartbeat=event&logpages=1"); same != text {
		t.Errorf("a position changes the page to %s", same)
	}
	for _, query := range []string{next, first + "&topic=odd", first + "&data=exact"} {
		if other, _ := s.body(t, query); other.Header.Get("ETag") == response.Header.Get("ETag") {
			t.Errorf("%s has the ETag of another page", query)
		}
	}
	for _, known := range []string{response.Header.Get("ETag"), `"x", W/` + response.Header.Get("ETag")} {
		if got, text := s.body(t, first, "If-None-Match", known); got.StatusCode != http.StatusNotModified || text != "" {
			t.Errorf("If-None-Match %s: status %d, body %q", known, got.StatusCode, text)
		}
	}
	for s.handler.Status().Open > 0 { // an answer ends before its handler does
		time.Sleep(time.Millisecond)
	}
	if status := s.handler.Status(); status.Ended[sse.EndPages] != status.Opened || status.Failures != 0 {
		t.Errorf("ended %v of %d, %d failures", status.Ended, status.Opened, status.Failures)
	}
}

// A page that is not full, was trimmed or is of another log is no page, and no
// cache may keep the answer.
func TestPagesThatAreNone(t *testing.T) {
	s := serve(t, nil, &sse.Options{Pages: sse.Pages{Size: 5}})
	appendNumbers(t, s.log, 1, 14)
	refused := func(query string, want int) {
		t.Helper()
		response, text := s.body(t, query)
		if response.StatusCode != want || response.Header.Get("Cache-Control") != "no-store" || strings.Contains(text, "data:") {
			t.Errorf("%s: status %d, Cache-Control %q, body %s; want %d and no-store", query, response.StatusCode, response.Header.Get("Cache-Control"), text, want)
		}
	}
	old := pageOf(t, s.log, 5, 10)
	refused(pageOf(t, s.log, 10, 15), 404) // one event is missing
	refused(pageOf(t, s.log, 20, 25), 404)
	refused(pageOf(t, s.log, 1, 6), 404)
	refused(pageOf(t, s.log, 0, 10), 404)
	refused("?logpage=other.0-5", 404)
	for _, text := range []string{"1", "a.b", "a.0-", "a.5-0", "a.0-5-", "a.00-5", "é.0-5", "a.0-99999999999999999999"} {
		refused("?logpage="+text, 400)
	}
	for _, rest := range []string{"limit=3", "bounds=only", "data=some"} {
		refused(old+"&"+rest, 400)
	}
	refused("?logpages=0", 400)
	if _, err := s.log.Trim(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	refused(pageOf(t, s.log, 0, 5), 404)
	refused(pageOf(t, s.log, 5, 10), 404) // the event at its beginning has gone
	appendNumbers(t, s.log, 15, 15)
	s.wantPage(t, pageOf(t, s.log, 10, 15), `11`, `12`, `13`, `14`, `15`)
	if _, err := s.log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(old, 404)

	near := serve(t, s.log, &sse.Options{Pages: sse.Pages{Size: 5}, Replay: sse.Replay{Max: 7}})
	compat := serve(t, nil, &sse.Options{Compat: true})
	appendNumbers(t, s.log, 16, 30)
	b, err := s.log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head := b.Head - b.Head%5
	wantStatus(t, near, pageOf(t, s.log, head-5, head), 200)
	wantStatus(t, near, pageOf(t, s.log, head-10, head-5), 404)
	wantStatus(t, compat, "?logpage=a.0-512", 404)
}

// wantSent reads the payloads and the end that sends the client to pages.
func (f *follower) wantSent(to uint64, payloads ...string) {
	f.t.Helper()
	f.want("cdc.hello")
	for _, data := range payloads {
		f.wantPayload(data)
	}
	if got, want := f.want("cdc.reconnect").data, fmt.Sprintf(`{"pages":{"size":5,"to":%d}}`, to); got != want {
		f.t.Errorf("the stream ends with %s, want %s", got, want)
	}
	f.wantEnd()
}

func TestAClientFarBehindIsSentToPages(t *testing.T) {
	s := serve(t, nil, &sse.Options{Pages: sse.Pages{Size: 5}, Replay: sse.Replay{PageSize: 3}})
	appendNumbers(t, s.log, 1, 13)
	s.follow(t, "?after=beginning&logpages=2").wantSent(10)
	s.follow(t, "?after=3&logpages=1").wantSent(10)
	s.follow(t, "?after=9&logpages=1").wantSent(10)
	for _, query := range []string{"?after=beginning&logpages=3", "?after=10&logpages=1", "?after=beginning", "?logpages=1"} {
		f := s.follow(t, query)
		f.want("cdc.hello")
		f.wantLive()
	}
	if _, err := s.log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// The page that it is in begins below the floor: it gets the rest of that.
	s.follow(t, "?after=beginning&logpages=1").wantSent(10, `3`, `4`, `5`)
	if _, err := s.log.Trim(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	appendNumbers(t, s.log, 14, 17)
	s.follow(t, "?after=beginning&logpages=1").wantSent(15, `6`, `7`, `8`, `9`, `10`, `11`)
}

// wantLive reads events until the stream is live.
func (f *follower) wantLive() {
	f.t.Helper()
	for {
		got, err := f.next()
		if err != nil || got.name != "" && got.name != "cdc.live" {
			f.t.Fatalf("frame %+v, error %v; want the stream to become live", got, err)
		}
		if got.name == "cdc.live" {
			return
		}
	}
}

// Users share an address, and no page.
func TestPagesAreAuthorized(t *testing.T) {
	opts := &sse.Options{Pages: sse.Pages{Size: 4}, Authorize: func(r *http.Request) (sse.Grant, error) {
		user, err := r.Cookie("user")
		if err != nil {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
		}
		grant := sse.Grant{Scope: sse.Topics(user.Value), User: user.Value}
		if user.Value == "late" {
			grant.Expires = time.Now().Add(-time.Second)
		}
		return grant, nil
	}}
	s := serve(t, nil, opts)
	appendNumbers(t, s.log, 1, 8)
	query := pageOf(t, s.log, 0, 4)
	even, text := s.body(t, query, "Cookie", "user=even")
	if !strings.Contains(text, `"data":2}`) || strings.Contains(text, `"data":1}`) || !strings.Contains(text, `{"events":2}`) {
		t.Errorf("the page of even is %s", text)
	}
	if got := even.Header.Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("Cache-Control is %q: a browser would give it to whoever logs in next", got)
	}
	tag := even.Header.Get("ETag")
	wantStatus(t, s, query, 304, "Cookie", "user=even", "If-None-Match", tag)
	if odd, text := s.body(t, query, "Cookie", "user=odd", "If-None-Match", tag); odd.StatusCode != 200 || strings.Contains(text, `"data":2}`) || !strings.Contains(text, `"data":1}`) {
		t.Errorf("the page of odd has status %d: %s", odd.StatusCode, text)
	}
	wantStatus(t, s, query, 401)
	wantStatus(t, s, query, 401, "If-None-Match", tag)
	wantStatus(t, s, query, 401, "Cookie", "user=late")
	wantStatus(t, s, query+"&topic=odd", 403, "Cookie", "user=even")
	wantStatus(t, s, query+"&data=exact", 403, "Cookie", "user=even")
	response, err := http.Head(s.URL + query)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("HEAD has status %d, want 401", response.StatusCode)
	}
}

func TestPagesOfSharedCaches(t *testing.T) {
	s := serve(t, nil, &sse.Options{
		CORS:  &sse.CORS{Origins: []string{"*"}},
		Pages: sse.Pages{Size: 4, Public: true, MaxAge: time.Hour},
	})
	appendNumbers(t, s.log, 1, 4)
	h := s.wantHeaders(t, pageOf(t, s.log, 0, 4))
	if got := h.Get("Cache-Control"); got != "public, max-age=3600, immutable" {
		t.Errorf("Cache-Control is %q", got)
	}
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Vary") != "" {
		t.Errorf("headers %v: the answer to a request without an origin is also that to one with", h)
	}
	anyone := func(*http.Request) (sse.Grant, error) { return sse.Grant{Scope: sse.Everything()}, nil }
	for name, opts := range map[string]*sse.Options{
		"public pages of users": {Authorize: anyone, Pages: sse.Pages{Public: true}},
		"a negative size":       {Pages: sse.Pages{Size: -1}},
		"a negative age":        {Pages: sse.Pages{MaxAge: -1}},
	} {
		if _, err := newHandler(memlog.New(nil), opts); err == nil || !strings.Contains(err.Error(), "Options.Pages.") {
			t.Errorf("%s: error %v, want one that names the option", name, err)
		}
	}
}

func (s *server) wantHeaders(t testing.TB, query string) http.Header {
	t.Helper()
	response, _ := s.body(t, query)
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d", query, response.StatusCode)
	}
	return response.Header
}

// endingLog cannot be read from a seq on.
type endingLog struct {
	*memlog.Log
	at uint64
}

func (l endingLog) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if after.Seq == l.at {
		return cdc.Page{}, errors.New("a bad sector")
	}
	return l.Log.Read(ctx, after, min(limit, 2))
}

// A page that cannot be read to its end does not look as if it had one.
func TestAPageThatBreaks(t *testing.T) {
	log := endingLog{memlog.New(nil), 6}
	appendNumbers(t, log.Log, 1, 16)
	var told errorLog
	s := serveLog(t, log, &sse.Options{Pages: sse.Pages{Size: 8}, Hub: &cdc.HubOptions{TailEvents: 1}, OnError: told.add})
	response, cancel := s.get(t, pageOf(t, log, 0, 8))
	defer cancel()
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil || strings.Contains(string(text), "cdc.reconnect") {
		t.Errorf("error %v after\n%s\nwant one, and no end", err, text)
	}
	if !strings.Contains(told.all(), "a bad sector") {
		t.Errorf("OnError was told %s", told.all())
	}
	gone := serveLog(t, downLog{log.Log}, nil)
	var p struct{ Title string }
	if got, text := gone.body(t, pageOf(t, log, 0, 512)); got.StatusCode != 503 || json.Unmarshal([]byte(text), &p) != nil || strings.Contains(text, "is down") {
		t.Errorf("status %d: %s", got.StatusCode, text)
	}
}

// A server that drains sends no page, and says so in a way that no cache keeps.
func TestPagesWhileDraining(t *testing.T) {
	s := serve(t, nil, &sse.Options{Pages: sse.Pages{Size: 4}})
	appendNumbers(t, s.log, 1, 4)
	if err := s.handler.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	response, _ := s.body(t, pageOf(t, s.log, 0, 4))
	if response.StatusCode != 503 || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, Cache-Control %q", response.StatusCode, response.Header.Get("Cache-Control"))
	}
}
