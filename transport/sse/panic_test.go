package sse_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// panickingError is an error without a text.
type panickingError struct{}

func (panickingError) Error() string { panic("Error") }

// TestPanicsOfForeignCode has each function that an application can give panic,
// at the worst moment for one stream. Another stream, which was open before,
// must get its events, the place must be free again, and Drain must end.
func TestPanicsOfForeignCode(t *testing.T) {
	var armed atomic.Bool
	for name, c := range panickingOptions(&armed) {
		t.Run(name, func(t *testing.T) {
			armed.Store(false)
			var told errorLog
			if c.opts.OnError == nil {
				c.opts.OnError = func(err error) {
					if err != (panickingError{}) {
						told.add(err)
					}
				}
			}
			c.opts.Limits.Streams = 2
			s := serve(t, nil, &c.opts)
			first := s.follow(t, "")
			first.want("cdc.hello")
			first.want("cdc.live")

			armed.Store(true)
			end := tryFollow(t, s, "?key=second&key=k")
			appendData(t, s.log, `1`)
			first.wantPayload(`1`)
			end()
			awaitStatus(t, s.handler, "the place to be free", func(st sse.Status) bool { return st.Open == 1 })
			appendData(t, s.log, `2`)
			first.wantPayload(`2`)

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.handler.Drain(ctx, 0); err != nil {
				t.Errorf("Drain: %v", err)
			}
			if c.told != "" && !strings.Contains(told.all(), c.told) {
				t.Errorf("OnError was told %s, want %q", told.all(), c.told)
			}
		})
	}
}

// panickingOption has a function that panics when armed.
type panickingOption struct {
	opts sse.Options
	told string // what OnError must be told; empty if OnError panics itself or net/http is told
}

func panickingOptions(armed *atomic.Bool) map[string]panickingOption {
	panics := func(what string) {
		if armed.Load() {
			panic(what)
		}
	}
	return map[string]panickingOption{
		"StreamOpened": {sse.Options{Observer: sse.Observer{StreamOpened: func(sse.StreamOpened) { panics("opened") }}}, "Observer.StreamOpened: panic: opened"},
		"StreamSent":   {sse.Options{Observer: sse.Observer{StreamSent: func(sse.StreamSent) { panics("sent") }}}, "Observer.StreamSent: panic: sent"},
		"StreamEnded":  {sse.Options{Observer: sse.Observer{StreamEnded: func(sse.StreamEnded) { panics("ended") }}}, "Observer.StreamEnded: panic: ended"},
		"Encoder": {sse.Options{Encoder: sse.EncoderFunc(func(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) {
			panics("encoder")
			return sse.Envelope.Encode(dst, c, e)
		})}, "panic: encoder"},
		"EventName": {sse.Options{EventName: func(cdc.Event) string { panics("name"); return "" }}, "panic: name"},
		"Authorize": {sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
			if r.URL.Query().Get("key") == "second" {
				panics("authorize")
			}
			return sse.Grant{Scope: sse.Everything()}, nil
		}}, ""},
		"an error of Authorize": {sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
			if r.URL.Query().Get("key") == "second" && armed.Load() {
				return sse.Grant{}, panickingError{}
			}
			return sse.Grant{Scope: sse.Everything()}, nil
		}}, ""},
		"OnError": {sse.Options{
			Encoder: sse.EncoderFunc(func(dst []byte, _ cdc.Cursor, _ cdc.Event) ([]byte, error) { return dst, errors.New("no form") }),
			OnError: func(error) { panics("on error") },
		}, ""},
	}
}

// tryFollow opens a stream that may fail, and returns what ends it.
func tryFollow(t *testing.T, s *server, query string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(r)
	if err == nil {
		_, _ = response.Body.Read(make([]byte, 1)) // it was admitted, or ended
	}
	return func() {
		cancel()
		if err == nil {
			_ = response.Body.Close()
		}
	}
}
