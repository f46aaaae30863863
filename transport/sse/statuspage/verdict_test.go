package statuspage_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/webdriver"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// wants waits until the verdict has one need, which is about that and has the
// text.
func (s *site) wants(about, text string) {
	s.t.Helper()
	d := s.await(text, func(d data) bool { return strings.Contains(fmt.Sprint(d.Verdict.Needs), text) })
	if n := d.Verdict.Needs; d.Verdict.Well || len(n) != 1 || n[0].About != about || n[0].Do == "" {
		s.t.Errorf("got %+v, want one need about %s, and what to do", d.Verdict, about)
	}
}

func (s *site) well() {
	s.t.Helper()
	d := s.await("all to be well", func(d data) bool { return d.Verdict.Well })
	if len(d.Verdict.Needs) > 0 {
		s.t.Errorf("all is well, and %+v", d.Verdict.Needs)
	}
}

// shows waits until the page has the verdict, and each of the texts.
func shows(b *webdriver.Browser, verdict string, texts ...string) {
	b.Await(fmt.Sprintf("document.getElementById('verdicttext').textContent === %q", verdict))
	for _, text := range texts {
		b.Await(fmt.Sprintf("document.getElementById('needs').innerText.includes(%q)", text))
	}
}

func TestTheVerdictInABrowser(t *testing.T) {
	b := webdriver.Start(t)
	s := serve(t, &sse.Options{Limits: sse.Limits{Streams: 2}}, nil)
	s.append(5)
	b.Open(s.URL + "/some/where")
	shows(b, "All is well")
	b.Await("document.getElementById('needs').hidden && document.title === 'Gapless status' && document.getElementById('verdictnote').textContent.includes('0 streams')")

	t.Log("as many streams as there may be, and one more")
	first, second := s.follow(nil, "cdc.live"), s.follow(nil, "cdc.live")
	shows(b, "One thing needs you", "All 2 streams are taken: the next client is turned away.", "Limits.Streams")
	b.Await("document.title === '(1) Gapless status'")
	s.follow(nil, "none")
	shows(b, "One thing needs you", "All 2 streams are taken, and clients were turned away once in the last two minutes.")
	first()
	second()

	t.Log("retention was faster than a client, and an error")
	if _, err := s.log.(*memlog.Log).Trim(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	s.await("room", func(d data) bool { return d.Streams.Open == 0 })
	s.follow(url.Values{"after": {"1"}}, "cdc.reset")()
	s.handler.Report(errors.New("cdc: retain: disk full"))
	shows(b, "3 things need you", "Clients were turned away once", "Retention had removed", "raise MaxEvents or MaxAge", "cdc: retain: disk full")
	b.Await("document.querySelectorAll('#needs li').length === 3 && [...document.querySelectorAll('#needs .do')].every((p) => p.textContent)")

	checkWidths(t, b)
	for _, scheme := range []string{"dark", "light"} {
		b.Prefer("prefers-color-scheme", scheme)
		if found := b.Audit(); len(found) > 0 {
			t.Errorf("%s: %s", scheme, strings.Join(found, "\n"))
		}
	}
}

func TestAResetNeedsSomebody(t *testing.T) {
	s := serve(t, &sse.Options{Replay: sse.Replay{Max: 3}}, nil)
	s.append(5)
	s.well()
	s.follow(url.Values{"after": {"not a cursor"}}, "cdc.reset")()
	s.well() // what a client makes up is its own affair
	s.follow(url.Values{"after": {"1"}}, "cdc.reset")()
	s.wants("resets", "more history than Replay.Max allows, once in the last two minutes")

	s = serve(t, nil, nil)
	s.append(1)
	s.well()
	s.follow(url.Values{"after": {"other.1"}}, "cdc.reset")()
	s.follow(url.Values{"after": {"7"}}, "cdc.reset")()
	s.wants("resets", "The log was not the one that clients knew, 2 times in the last two minutes")
}

func TestAnErrorAndADrainNeedSomebody(t *testing.T) {
	s := serve(t, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) { return sse.Grant{}, errors.New("users: connection refused") }}, nil)
	s.append(1)
	s.well()
	s.follow(nil, "none")
	s.wants("errors", "users: connection refused")

	s = serve(t, nil, nil)
	s.append(1)
	s.well()
	if err := s.handler.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.wants("streams", "The server drains")
}

func TestWorkersThatNeedSomebody(t *testing.T) {
	place := memlog.NewPlace()
	s := serve(t, nil, &statuspage.Options{Workers: []cdc.WorkersOf{{Place: place, Names: []string{"good"}}}})
	s.append(5)
	b, err := s.log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, revision uint64, c cdc.Change) {
		t.Helper()
		if err := place.Apply(t.Context(), name, revision, func(context.Context, *memlog.PlaceTx) (cdc.Change, error) { return c, nil }); err != nil {
			t.Fatal(err)
		}
	}
	change("good", 0, cdc.Change{Cursor: cdc.Cursor{Epoch: b.Epoch, Seq: 5}})
	s.wants("workers", "Worker good is stopped")
	lease, err := place.Lease(t.Context(), "good", "host/7/abc", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.well()
	change("good", lease.Revision, cdc.Change{Cursor: cdc.Cursor{Epoch: b.Epoch, Seq: 5}, Park: []cdc.Parked{{Event: cdc.Event{Seq: 5}}}})
	s.wants("workers", "Worker good has parked one event")

	s = serve(t, nil, &statuspage.Options{Workers: []cdc.WorkersOf{{Place: place}, {Place: brokenPlace{}}}})
	crew(t, s, place, "mails")
	d := s.await("the workers", func(d data) bool { return d.Workers != nil && d.Log.State == "reachable" })
	got := fmt.Sprint(d.Verdict.Needs)
	for _, want := range []string{"mails has parked one event", "paused is paused", "waiting is stopped", "was before cannot go on", "cannot be listed: "} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
}

// A client that does not read falls behind. It is half of the streams.
func TestStreamsThatFallBehindNeedSomebody(t *testing.T) {
	s := serve(t, nil, nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	s.await("the stream", func(d data) bool { return d.Streams.Live == 1 })
	large := cdc.Event{Type: "large", Data: fmt.Appendf(nil, "%q", strings.Repeat("x", 1<<17))}
	s.await("half of the streams to fall behind", func(d data) bool {
		if _, err := cdc.Append(t.Context(), s.log, large); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(fmt.Sprint(d.Verdict.Needs), "Half of the streams fall behind")
	})
}
