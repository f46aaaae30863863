package sse_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// untilLive is a response that ends its request when the stream is live.
type untilLive struct {
	header http.Header
	status int
	body   bytes.Buffer
	cancel context.CancelFunc
}

func (w *untilLive) Header() http.Header    { return w.header }
func (w *untilLive) WriteHeader(status int) { w.status = status }
func (w *untilLive) Flush()                 {}
func (w *untilLive) Write(p []byte) (int, error) {
	n, err := w.body.Write(p)
	if bytes.Contains(w.body.Bytes(), []byte("event: cdc.live\n")) {
		w.cancel()
	}
	return n, err
}

// ask returns what the handler answers up to the first cdc.live.
func ask(handler http.Handler, r *http.Request) *untilLive {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := &untilLive{header: http.Header{}, status: http.StatusOK, cancel: cancel}
	handler.ServeHTTP(w, r.WithContext(ctx))
	return w
}

// FuzzFrame proves that whatever is in an event arrives in one frame, as it is,
// and forges nothing.
func FuzzFrame(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, text, text, []byte(text))
	}
	f.Add("id", "topic", "type", "key", []byte("{\"a\":\r\n1}"))
	f.Fuzz(func(t *testing.T, id, topic, typ, key string, data []byte) {
		log := memlog.New(nil)
		if _, err := log.Append(t.Context(), cdc.Event{ID: id, Topic: topic, Type: typ, Key: key, Data: data}); err != nil {
			t.Skip() // no log holds it
		}
		handler, err := newHandler(log, &sse.Options{Timeouts: sse.Timeouts{Write: -1}, EventName: func(e cdc.Event) string { return e.Type }})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = handler.Close() }()
		w := ask(handler, httptest.NewRequest(http.MethodGet, "/?after=beginning", nil))
		frames := dispatched(t, w.body.Bytes())
		if len(frames) != 4 || frames[0].name != "cdc.hello" || frames[2].name != "cdc.live" || frames[3].name != "cdc.reconnect" {
			t.Fatalf("frames %+v, want hello, one event, live, reconnect", frames)
		}
		if name := frames[1].name; name != "" && name != typ {
			t.Errorf("name %q, type %q", name, typ)
		}
		got := frames[1].event(t)
		if got.ID != id || got.Topic != topic || got.Type != typ || got.Key != key {
			t.Errorf("got %+v", got)
		}
		if got.Data == nil && !bytes.Equal(got.DataBase64, data) {
			t.Errorf("dataBase64 %q, want %q", got.DataBase64, data)
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimSpace(string(data)))
		if got.Data != nil && strings.TrimSpace(string(got.Data)) != want {
			t.Errorf("data %q, want %q", got.Data, want)
		}
	})
}

// FuzzRequest proves that no query and no header gets anything but a problem
// or a stream of right frames that begins with a hello.
func FuzzRequest(f *testing.F) {
	log := memlog.New(nil)
	appendData(f, log, `1`, `2`, `3`)
	handler, err := newHandler(log, &sse.Options{Timeouts: sse.Timeouts{Write: -1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = handler.Close() })
	for _, s := range []string{"", "after=1", "after=%00", "topic=*&topic=a*&key=%0a", "heartbeat=event", "data=exact", "after=a.b.c.d", ";", "%"} {
		f.Add(s, "")
		f.Add(s, "x.1\r\nid: forged")
		f.Add(s, strings.Repeat("9", 300))
	}
	f.Fuzz(func(t *testing.T, query, id string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		r.Header["Last-Event-Id"] = []string{id}
		w := ask(handler, r)
		if w.status != http.StatusOK {
			if w.status != http.StatusBadRequest || w.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, header %v", w.status, w.header)
			}
			return
		}
		if !utf8.Valid(w.body.Bytes()) {
			t.Errorf("the stream is not UTF-8: %q", w.body.Bytes())
		}
		frames := dispatched(t, w.body.Bytes())
		if len(frames) == 0 || frames[0].name != "cdc.hello" {
			t.Fatalf("frames %+v, want a hello first", frames)
		}
		for _, fr := range frames {
			if _, err := cdc.ParseCursor(fr.id); err != nil {
				t.Errorf("frame %+v: %v", fr, err)
			}
		}
	})
}
