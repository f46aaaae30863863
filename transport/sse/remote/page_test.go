package remote_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// cache keeps every page that it has passed on, for ever, and does to each what
// spoil says.
type cache struct {
	spoil func(r *http.Response, body string) string // nil does nothing

	mu    sync.Mutex
	pages map[string]string // by URL
	asked int               // pages of the origin
	hits  int
}

func (c *cache) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.URL.String()
	if !r.URL.Query().Has("logpage") {
		return http.DefaultTransport.RoundTrip(r)
	}
	if r.Header.Get("Cache-Control") != "" {
		return nil, errors.New("the request for a page forbids a cache to answer")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if text, ok := c.pages[key]; ok {
		c.hits++
		return c.answer(&http.Response{StatusCode: http.StatusOK, Request: r}, text), nil
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	c.asked++
	if err == nil && response.StatusCode == http.StatusOK {
		c.pages[key] = string(text)
	}
	return c.answer(response, string(text)), err
}

func (c *cache) answer(r *http.Response, text string) *http.Response {
	if c.spoil != nil {
		text = c.spoil(r, text)
	}
	r.Body = io.NopCloser(strings.NewReader(text))
	return r
}

// behind returns a log that takes pages through a cache.
func behind(t testing.TB, s *endpoint, onError func(error)) (*remote.Log, *cache) {
	t.Helper()
	c := &cache{pages: map[string]string{}}
	return open(t, s.URL, &remote.Options{Client: &http.Client{Transport: c}, Pages: 1, OnError: onError}), c
}

func appendNumbers(t testing.TB, log *memlog.Log, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		appendData(t, log, strconv.Itoa(n))
	}
}

// wantNumbers reads from the beginning in the smallest and in larger steps.
func wantNumbers(t *testing.T, l *remote.Log, epoch string, n int) {
	t.Helper()
	for _, limit := range []int{1, 4, 100} {
		events := readInPages(t, l, epoch, limit)
		for i, e := range events {
			if string(e.Data) != strconv.Itoa(i+1) {
				t.Fatalf("limit %d: event %d has the data %s", limit, i+1, e.Data)
			}
		}
		if len(events) != n {
			t.Errorf("limit %d: %d events, want %d", limit, len(events), n)
		}
	}
}

func TestReadersShareThePagesOfACache(t *testing.T) {
	s, log := serveNew(t, &sse.Options{Pages: sse.Pages{Size: 5}})
	appendNumbers(t, log, 1, 23)
	epoch := boundsOf(t, log).Epoch
	var failures errorLog
	first, shared := behind(t, s, failures.add)
	for range 3 {
		l := open(t, s.URL, &remote.Options{Client: &http.Client{Transport: shared}, Pages: 1, OnError: failures.add})
		wantNumbers(t, l, epoch, 23)
	}
	if shared.asked != 4 || shared.hits == 0 {
		t.Errorf("%d pages came from the origin and %d from the cache, want 4 of the origin", shared.asked, shared.hits)
	}
	// What the cache has does not make a cursor valid.
	if _, err := log.Trim(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
	wantReset(t, first, cdc.Cursor{Epoch: epoch, Seq: 3}, cdc.ReasonTruncated)
	wantReset(t, first, cdc.Cursor{Epoch: epoch, Seq: 13, Tag: "AAAAAAAAAAA"}, cdc.ReasonDiverged)
	if page, err := first.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 12}, 100); err != nil || len(page.Events) < 3 || page.Events[0].Seq != 13 {
		t.Errorf("after the floor: %+v, %v; want what is left", page, err)
	}
	if _, err := log.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantReset(t, first, cdc.Cursor{Epoch: epoch, Seq: 13}, cdc.ReasonForeign)
	if failures.String() != "[]" {
		t.Errorf("OnError was told %s", failures.String())
	}
}

func boundsOf(t testing.TB, log *memlog.Log) cdc.Bounds {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantReset(t testing.TB, l *remote.Log, after cdc.Cursor, want cdc.Reason) {
	t.Helper()
	page, err := l.Read(t.Context(), after, 100)
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != want {
		t.Errorf("after %s: %d events, %v; want a reset: %s", after, len(page.Events), err, want)
	}
}

// frames are the blocks of a page.
func frames(text string) []string { return strings.SplitAfter(text, "\n\n") }

// without returns the page without the frames from i to before j; negative
// indices count from the end.
func without(text string, i, j int) string {
	all := slices.DeleteFunc(frames(text), func(f string) bool { return f == "" })
	if i < 0 {
		i, j = i+len(all), j+len(all)
	}
	return strings.Join(slices.Delete(all, i, j), "")
}

// spoilt are things that a cache may make of a page.
func spoilt() map[string]func(r *http.Response, text string) string {
	return map[string]func(r *http.Response, text string) string{
		"the end is cut off":        func(_ *http.Response, text string) string { return without(text, -1, 0) },
		"the last event is, too":    func(_ *http.Response, text string) string { return without(text, -2, 0) },
		"it is cut in a frame":      func(_ *http.Response, text string) string { return text[:len(text)/2] },
		"an event is missing":       func(_ *http.Response, text string) string { return without(text, 2, 3) },
		"the last event is missing": func(_ *http.Response, text string) string { return without(text, -2, -1) },
		"an event comes twice": func(_ *http.Response, text string) string {
			return strings.Join(slices.Insert(frames(text), 3, frames(text)[2]), "")
		},
		"two events are swapped": func(_ *http.Response, text string) string {
			all := frames(text)
			all[1], all[2] = all[2], all[1]
			return strings.Join(all, "")
		},
		"it ends too early": func(_ *http.Response, text string) string {
			all := frames(text)
			_, id, _ := strings.Cut(all[4], "id: ")
			return strings.Join(all[:5], "") + "event: cdc.reconnect\ndata: {\"events\":4}\nid: " + id
		},
		"a byte of an event is another": func(_ *http.Response, text string) string {
			return strings.Replace(text, `"dataBase64":"M`, `"dataBase64":"N`, 1)
		},
		"the hello is missing": func(_ *http.Response, text string) string { return without(text, 0, 1) },
		"it has a reset": func(_ *http.Response, text string) string {
			return strings.Join(slices.Insert(frames(text), 1, "event: cdc.reset\ndata: {}\nid: a.1\n\n"), "")
		},
		"it is empty": func(*http.Response, string) string { return "" },
		"it is not found": func(r *http.Response, _ string) string {
			r.StatusCode = http.StatusNotFound
			return `{"status":404}`
		},
		"it is refused": func(r *http.Response, _ string) string {
			r.StatusCode = http.StatusForbidden
			return ""
		},
		"the origin is away": func(r *http.Response, _ string) string {
			r.StatusCode = http.StatusBadGateway
			return "<html>"
		},
		"it is something else": func(*http.Response, string) string { return "<!doctype html><title>log in</title>\n\n" },
	}
}

// Whatever a cache makes of a page, no event is lost or comes twice: its events
// are read from the stream, and OnError is told.
func TestPagesThatACacheSpoils(t *testing.T) {
	for name, spoil := range spoilt() {
		t.Run(name, func(t *testing.T) {
			s, log := serveNew(t, &sse.Options{Pages: sse.Pages{Size: 5}})
			appendNumbers(t, log, 1, 23)
			var failures errorLog
			l, c := behind(t, s, failures.add)
			c.spoil = spoil
			wantNumbers(t, l, boundsOf(t, log).Epoch, 23)
			if tries := c.asked + c.hits; tries > 12 {
				t.Errorf("4 pages were tried %d times by 3 readers", tries)
			}
			if c.asked == 0 || !strings.Contains(failures.String(), "remote: read: page ") {
				t.Errorf("%d pages were asked for, OnError was told %s", c.asked, failures.String())
			}
		})
	}
}

// A cache that mixes up addresses gives out a page that is another one: of other
// seqs, of another epoch, or of the same log before it went back.
func TestPagesThatAreOthers(t *testing.T) {
	s, log := serveNew(t, &sse.Options{Pages: sse.Pages{Size: 5}})
	appendNumbers(t, log, 1, 23)
	other, otherLog := serveNew(t, &sse.Options{Pages: sse.Pages{Size: 5}})
	appendNumbers(t, otherLog, 101, 123)
	epoch := boundsOf(t, log).Epoch
	foreign := pageText(t, other, boundsOf(t, otherLog).Epoch, 5)
	second, third := pageText(t, s, epoch, 5), pageText(t, s, epoch, 10)
	for name, texts := range map[string]string{
		"of other seqs":         third,
		"of another epoch":      foreign,
		"that begins elsewhere": strings.Join(slices.Concat(frames(third)[:1], frames(second)[1:]), ""),
		"of a log that differs": strings.Join(slices.Concat(frames(foreign)[:1], frames(second)[1:]), ""),
		"with the epoch of this, and the events of another": strings.ReplaceAll(foreign, boundsOf(t, otherLog).Epoch, epoch),
	} {
		t.Run(name, func(t *testing.T) {
			var failures errorLog
			l, c := behind(t, s, failures.add)
			for _, key := range []string{"logpage=" + epoch + ".5-10"} {
				c.pages[s.URL+"?data=exact&"+key] = texts
			}
			at, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch}, 5)
			if err != nil || len(at.Events) != 5 {
				t.Fatalf("%+v, %v", at, err)
			}
			page, err := l.Read(t.Context(), at.Events[4].Cursor(epoch), 5)
			if err != nil || len(page.Events) != 5 || string(page.Events[0].Data) != "6" {
				t.Errorf("%+v, %v; want 6 to 10", page, err)
			}
			if c.hits != 1 || !strings.Contains(failures.String(), "page "+epoch+".5-10") {
				t.Errorf("%d hits, OnError was told %s", c.hits, failures.String())
			}
		})
	}
}

func pageText(t testing.TB, s *endpoint, epoch string, from int) string {
	t.Helper()
	response, err := http.Get(fmt.Sprintf("%s?data=exact&logpage=%s.%d-%d", s.URL, epoch, from, from+5))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Contains(text, []byte("cdc.reconnect")) {
		t.Fatalf("%v: %s", err, text)
	}
	return string(text)
}

// A filter is a part of the address, and of the page.
func TestPagesWithAFilter(t *testing.T) {
	s, log := serveNew(t, &sse.Options{Pages: sse.Pages{Size: 4}})
	for n := 1; n <= 18; n++ {
		e := cdc.Event{Topic: strconv.Itoa(n % 3), Data: []byte(strconv.Itoa(n))}
		if _, err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	c := &cache{pages: map[string]string{}}
	for topic := range 3 {
		l := open(t, s.URL+"?topic="+strconv.Itoa(topic), &remote.Options{Client: &http.Client{Transport: c}, Pages: 1})
		for limit := 1; limit <= 5; limit++ {
			var got, want []string
			for _, e := range readInPages(t, l, boundsOf(t, log).Epoch, limit) {
				got = append(got, string(e.Data))
			}
			for n := 1; n <= 18; n++ {
				if n%3 == topic {
					want = append(want, strconv.Itoa(n))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("topic %d, limit %d: got %q, want %q", topic, limit, got, want)
			}
		}
	}
	if c.asked != 12 {
		t.Errorf("%d pages came from the origin, want 4 for each filter", c.asked)
	}
}

// A server that has no pages knows nothing of the parameter.
func TestPagesOfAServerWithoutThem(t *testing.T) {
	log := memlog.New(nil)
	s := serve(t, log, &sse.Options{Pages: sse.Pages{Size: 5}})
	appendNumbers(t, log, 1, 23)
	handler := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		query.Del("logpages")
		r.URL.RawQuery = query.Encode()
		handler.ServeHTTP(w, r)
	})
	l, c := behind(t, s, func(err error) { t.Error(err) })
	wantNumbers(t, l, boundsOf(t, log).Epoch, 23)
	if c.asked > 0 {
		t.Errorf("%d pages were asked for", c.asked)
	}
}
