package sse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestReplayThenLive(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`, `2`)
	f := s.follow(t, "?after=beginning")

	h := f.response.Header
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	hello := f.want("cdc.hello")
	var from struct{ Log, From string }
	if err := json.Unmarshal([]byte(hello.data), &from); err != nil {
		t.Fatal(err)
	}
	if from.From != hello.id || cursorOf(t, hello.id).Epoch != from.Log || cursorOf(t, hello.id).Seq != 0 {
		t.Errorf("hello %+v, want id and from to be the beginning", hello)
	}
	if ms, err := strconv.Atoi(hello.retry); err != nil || ms < 1500 || ms > 4500 {
		t.Errorf("retry %q, want 1500 to 4500", hello.retry)
	}
	f.wantPayload(`1`)
	second := f.wantPayload(`2`)
	if e := second.event(t); e.Cursor != second.id || e.Topic != "t" || e.Type != "x" || e.Key != "k" {
		t.Errorf("event %+v with id %q", e, second.id)
	}
	if live := f.want("cdc.live"); live.id != second.id || live.data != "{}" {
		t.Errorf("live %+v, want id %q", live, second.id)
	}
	appendData(t, s.log, `3`)
	f.wantPayload(`3`)
}

func TestLatestIsTheDefault(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`)
	for _, query := range []string{"", "?after=latest"} {
		f := s.follow(t, query)
		if c := cursorOf(t, f.want("cdc.hello").id); c.Seq != 1 || c.Tag == "" {
			t.Errorf("%q: hello at %v, want 1 with its tag", query, c)
		}
		f.want("cdc.live")
	}
}

func TestResume(t *testing.T) {
	s := serve(t, nil, nil)
	receipt := appendData(t, s.log, `1`, `2`, `3`)
	full := s.follow(t, "?after=beginning")
	full.want("cdc.hello")
	first := full.wantPayload(`1`).id

	for name, f := range map[string]*follower{
		"header":                s.follow(t, "", "Last-Event-ID", first),
		"header beats query":    s.follow(t, "?after=3", "Last-Event-ID", first),
		"query":                 s.follow(t, "?after="+first),
		"number":                s.follow(t, "?after=1"),
		"receipt's cursor form": s.follow(t, "?after="+cdc.Cursor{Epoch: receipt.Epoch, Seq: 1}.String()),
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.want("cdc.hello")
			f.wantPayload(`2`)
			f.wantPayload(`3`)
			f.want("cdc.live")
		})
	}
}

func TestResets(t *testing.T) {
	log := memlog.New(nil)
	receipt := appendData(t, log, `1`, `2`, `3`, `4`)
	if _, err := log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	at := func(seq uint64) string { return cdc.Cursor{Epoch: receipt.Epoch, Seq: seq}.String() }
	tests := []struct {
		name, header string
		reason       cdc.Reason
	}{
		{"below the floor", at(1), cdc.ReasonTruncated},
		{"above the head", at(9), cdc.ReasonFuture},
		{"foreign", "other.3", cdc.ReasonForeign},
		{"diverged", at(3) + ".AAAAAAAAAAA", cdc.ReasonDiverged},
		{"malformed", "no cursor!", cdc.ReasonMalformed},
		{"malformed and long", strings.Repeat("ä", 10_000), cdc.ReasonMalformed},
		{"bare number below the floor", "1", cdc.ReasonTruncated},
	}
	for _, resume := range []cdc.Resume{cdc.ResumeHead, cdc.ResumeFloor} {
		s := serve(t, log, &sse.Options{Resume: resume})
		for _, test := range tests {
			t.Run(fmt.Sprint(test.name, resume), func(t *testing.T) {
				f := s.follow(t, "", "Last-Event-ID", test.header)
				hello, reset := f.want("cdc.hello"), f.want("cdc.reset")
				var data struct {
					Reason      cdc.Reason
					Requested   string
					Floor, Head uint64
				}
				if err := json.Unmarshal([]byte(reset.data), &data); err != nil {
					t.Fatal(err)
				}
				want := map[cdc.Resume]uint64{cdc.ResumeHead: 4, cdc.ResumeFloor: 2}[resume]
				if got := cursorOf(t, reset.id).Seq; got != want {
					t.Errorf("reset to %q, want seq %d", reset.id, want)
				}
				if data.Reason != test.reason || data.Floor != 2 || data.Head != 4 || data.Requested[:3] != test.header[:min(3, len(test.header))] && len(test.header) > 2 {
					t.Errorf("reset %+v, want %s", data, test.reason)
				}
				if resume == cdc.ResumeFloor {
					f.wantPayload(`3`)
					f.wantPayload(`4`)
				}
				f.want("cdc.live")

				cut := s.follow(t, "", "Last-Event-ID", hello.id) // cut before the reset
				cut.want("cdc.hello")
				cut.want("cdc.reset")
				again := s.follow(t, "", "Last-Event-ID", reset.id) // must not be reset again
				again.want("cdc.hello")
				if resume == cdc.ResumeFloor {
					again.wantPayload(`3`)
				} else {
					again.want("cdc.live")
				}
			})
		}
	}
}

func TestTooFar(t *testing.T) {
	s := serve(t, nil, &sse.Options{MaxReplay: 2})
	appendData(t, s.log, `1`, `2`, `3`)
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	if reset := f.want("cdc.reset"); !strings.Contains(reset.data, `"reason":"too-far"`) {
		t.Errorf("reset %s, want too-far", reset.data)
	}
	f.want("cdc.live")
	f = s.follow(t, "?after=1")
	f.want("cdc.hello")
	f.wantPayload(`2`)
}

func TestResetOfAnOpenStream(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`)
	f := s.follow(t, "")
	f.want("cdc.hello")
	f.want("cdc.live")
	epoch, err := s.log.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reset := f.want("cdc.reset")
	if c := cursorOf(t, reset.id); c.Epoch != epoch || !strings.Contains(reset.data, "epoch-changed") {
		t.Errorf("reset %+v, want epoch-changed to %s", reset, epoch)
	}
	f.want("cdc.live")
	appendData(t, s.log, `2`)
	if c := cursorOf(t, f.wantPayload(`2`).id); c.Epoch != epoch {
		t.Errorf("event of epoch %q, want %q", c.Epoch, epoch)
	}
}

func TestFiltersAndCheckpoints(t *testing.T) {
	s := serve(t, nil, &sse.Options{Heartbeat: 50 * time.Millisecond})
	ctx := t.Context()
	for i := range 3 {
		for _, topic := range []string{"room:1", "room:2", "other"} {
			if _, err := s.log.Append(ctx, cdc.Event{Topic: topic, Type: "a", Key: strconv.Itoa(i), Data: []byte(`"` + topic + `"`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := s.follow(t, "?after=beginning&topic=room:*&key=1&key=2&type=a")
	f.want("cdc.hello")
	for range 2 {
		f.wantPayload(`"room:1"`)
		f.wantPayload(`"room:2"`)
	}
	if c := cursorOf(t, f.want("cdc.live").id); c.Seq != 9 {
		t.Errorf("live at %v, want 9: filtered events move the cursor", c)
	}
	if _, err := s.log.Append(ctx, cdc.Event{Topic: "other"}); err != nil {
		t.Fatal(err)
	}
	checkpoint := f.want("cdc.checkpoint")
	if c := cursorOf(t, checkpoint.id); c.Seq != 10 || checkpoint.data != "{}" {
		t.Errorf("checkpoint %+v, want 10", checkpoint)
	}
	// At most one a second: the next one is not before that.
	begin := time.Now()
	if _, err := s.log.Append(ctx, cdc.Event{Topic: "other"}); err != nil {
		t.Fatal(err)
	}
	if c := cursorOf(t, f.want("cdc.checkpoint").id); c.Seq != 11 {
		t.Errorf("checkpoint at %v, want 11", c)
	}
	if d := time.Since(begin); d < 900*time.Millisecond {
		t.Errorf("second checkpoint after %v, want a second", d)
	}
}

func TestHeartbeats(t *testing.T) {
	s := serve(t, nil, &sse.Options{Heartbeat: 20 * time.Millisecond})
	appendData(t, s.log, `1`)
	f := s.follow(t, "")
	f.want("cdc.hello")
	f.want("cdc.live")
	for range 3 {
		if got, err := f.next(); err != nil || got != (frame{comment: true}) {
			t.Errorf("got %+v, %v; want a bare comment", got, err)
		}
	}
	f = s.follow(t, "?heartbeat=event")
	id := f.want("cdc.hello").id
	f.want("cdc.live")
	for range 3 {
		if got, err := f.next(); err != nil || got.name != "cdc.checkpoint" || got.id != id {
			t.Errorf("got %+v, %v; want a checkpoint with id %q", got, err, id)
		}
	}
}

func TestProblems(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		switch r.Header.Get("Authorization") {
		case "none":
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized, Detail: "say who you are"}
		case "broken":
			return sse.Grant{}, errors.New("password of the database is xyz")
		}
		return sse.Grant{Filter: cdc.Filter{Topics: []string{"mine:*"}}}, nil
	}})
	tests := []struct {
		name, query, auth string
		status            int
		detail            string
	}{
		{"malformed after", "?after=a.b.c.d", "", 400, "after must be"},
		{"malformed query", "?after=%zz", "", 400, "the query string"},
		{"heartbeat", "?heartbeat=never", "", 400, "heartbeat must be"},
		{"many filters", "?" + strings.Repeat("key=a&", 300), "", 400, "300 filter values"},
		{"not authorized", "", "none", 401, "say who you are"},
		{"broken authorization", "", "broken", 403, ""},
		{"not allowed", "?topic=theirs", "", 403, "nothing that the filter selects"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
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
		})
	}
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

func TestOptions(t *testing.T) {
	log := memlog.New(nil)
	hub := cdc.NewHub(log, nil)
	defer func() { _ = hub.Close() }()
	tests := []struct {
		name string
		log  cdc.Log
		opts sse.Options
		want string
	}{
		{"no log", nil, sse.Options{}, "the log is nil"},
		{"hub and hub options", hub, sse.Options{Hub: &cdc.HubOptions{}}, "is a Hub already"},
		{"floor with a cap", log, sse.Options{Resume: cdc.ResumeFloor, MaxReplay: 1}, "too far again"},
		{"negative heartbeat", log, sse.Options{Heartbeat: -1}, "only WriteTimeout may be negative"},
		{"start", log, sse.Options{Start: "no start"}, "Options.Start"},
		{"compat and encoder", log, sse.Options{Compat: true, Encoder: sse.Envelope}, "its own envelope"},
	}
	for _, test := range tests {
		if _, err := sse.NewHandler(test.log, &test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	h, err := sse.NewHandler(hub, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil || h.Hub() != hub {
		t.Errorf("Close: %v", err)
	}
	if _, err := hub.Bounds(t.Context()); err != nil {
		t.Errorf("the Hub of the application was closed: %v", err)
	}
}

func TestUnstreamableResponse(t *testing.T) {
	handler, err := sse.NewHandler(memlog.New(nil), nil)
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

// downLog fails every call.
type downLog struct{ *memlog.Log }

func (downLog) Bounds(context.Context) (cdc.Bounds, error) {
	return cdc.Bounds{}, errors.New("store is down")
}

func TestStoreDownAtStart(t *testing.T) {
	var told errorLog
	handler, err := sse.NewHandler(downLog{memlog.New(nil)}, &sse.Options{OnError: told.add})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handler.Close() }()
	s := &server{Server: httptest.NewServer(handler)}
	defer s.Close()
	f := s.follow(t, "")
	if got := f.want("cdc.reconnect"); got.retry == "" || got.id != "" {
		t.Errorf("reconnect %+v, want a retry and no id, for there is none", got)
	}
	f.wantEnd()
	f = s.follow(t, "", "Last-Event-ID", "abc.5.tag")
	if got := f.want("cdc.reconnect"); got.id != "abc.5.tag" {
		t.Errorf("reconnect %+v, want the cursor of the request", got)
	}
	f.wantEnd()
	if !strings.Contains(told.all(), "store is down") {
		t.Errorf("OnError was told %s", told.all())
	}
}

func TestStoreDoesNotAnswer(t *testing.T) {
	log := &hangingLog{Log: memlog.New(nil)}
	handler, err := sse.NewHandler(log, &sse.Options{StartTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handler.Close() }()
	s := &server{Server: httptest.NewServer(handler)}
	defer s.Close()
	f := s.follow(t, "?after=7")
	if got := f.want("cdc.reconnect"); got.id != "7" {
		t.Errorf("reconnect %+v, want id 7", got)
	}
	f.wantEnd()
}

type hangingLog struct{ *memlog.Log }

func (l *hangingLog) Bounds(ctx context.Context) (cdc.Bounds, error) {
	<-ctx.Done()
	return cdc.Bounds{}, context.Cause(ctx)
}

func TestGrantExpires(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
		return sse.Grant{Expires: time.Now().Add(50 * time.Millisecond)}, nil
	}})
	appendData(t, s.log, `1`)
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	id := f.wantPayload(`1`).id
	f.want("cdc.live")
	if got := f.want("cdc.reconnect"); got.id != id || got.retry == "" {
		t.Errorf("reconnect %+v, want id %q and a retry", got, id)
	}
	f.wantEnd()
}
