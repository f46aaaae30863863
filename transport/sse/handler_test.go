package sse_test

import (
	"encoding/json"
	"net/http"
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
	begin := time.Now()
	if _, err := s.log.Append(ctx, cdc.Event{Topic: "other"}); err != nil {
		t.Fatal(err)
	}
	checkpoint := f.want("cdc.checkpoint")
	if c := cursorOf(t, checkpoint.id); c.Seq != 10 || checkpoint.data != "{}" {
		t.Errorf("checkpoint %+v, want 10", checkpoint)
	}
	// At most one a second: the next one is not before that.
	if _, err := s.log.Append(ctx, cdc.Event{Topic: "other"}); err != nil {
		t.Fatal(err)
	}
	if c := cursorOf(t, f.want("cdc.checkpoint").id); c.Seq != 11 {
		t.Errorf("checkpoint at %v, want 11", c)
	}
	if d := time.Since(begin); d < time.Second {
		t.Errorf("two checkpoints within %v, want a second between them", d)
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

func TestOptions(t *testing.T) {
	log := memlog.New(nil)
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	tests := []struct {
		name string
		log  cdc.Log
		opts sse.Options
		want string
	}{
		{"no log", nil, sse.Options{}, "the log is nil"},
		{"hub and hub options", hub, sse.Options{Hub: &cdc.HubOptions{}}, "is a Hub already"},
		{"wrong hub options", log, sse.Options{Hub: &cdc.HubOptions{TailEvents: -1}}, "Options.Hub"},
		{"floor with a cap", log, sse.Options{Replay: sse.Replay{ResetTo: cdc.ResetToFloor, Max: 1}}, "too far again"},
		{"negative heartbeat", log, sse.Options{Heartbeat: -1}, "Options.Heartbeat is negative"},
		{"negative retry", log, sse.Options{Retry: -1}, "Options.Retry is negative"},
		{"negative start timeout", log, sse.Options{Timeouts: sse.Timeouts{Start: -1}}, "Options.Timeouts.Start is negative"},
		{"negative streams", log, sse.Options{Limits: sse.Limits{Streams: -1}}, "Options.Limits.Streams is negative"},
		{"negative age", log, sse.Options{Limits: sse.Limits{Age: -1}}, "Options.Limits.Age is negative"},
		{"negative memory", log, sse.Options{Limits: sse.Limits{FrameBytes: -1}}, "Options.Limits.FrameBytes is negative"},
		{"negative page", log, sse.Options{Replay: sse.Replay{PageSize: -1}}, "Options.Replay.PageSize is negative"},
		{"no origins", log, sse.Options{CORS: &sse.CORS{}}, "Origins is empty"},
		{"an origin with a path", log, sse.Options{CORS: &sse.CORS{Origins: []string{"https://example.com/"}}}, "https://example.com/"},
		{"an origin without a scheme", log, sse.Options{CORS: &sse.CORS{Origins: []string{"example.com"}}}, "example.com"},
		{"a CloudEvents without a source", log, sse.Options{Encoder: sse.CloudEvents{}}, "CloudEvents.Source is empty"},
		{"start", log, sse.Options{Start: cdc.AfterText("no start")}, "Options.Start"},
		{"compat and encoder", log, sse.Options{Compat: true, Encoder: sse.Envelope}, "its own envelope"},
	}
	for _, test := range tests {
		if _, err := newHandler(test.log, &test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	h, err := newHandler(hub, nil)
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

func TestGrantExpires(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
		return sse.Grant{Scope: sse.Everything(), Expires: time.Now().Add(time.Second)}, nil
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
