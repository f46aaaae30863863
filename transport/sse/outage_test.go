package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// downLog fails every call.
type downLog struct{ *memlog.Log }

func (downLog) Bounds(context.Context) (cdc.Bounds, error) {
	return cdc.Bounds{}, errors.New("store is down")
}

func TestStoreDownAtStart(t *testing.T) {
	var told errorLog
	handler, err := newHandler(downLog{memlog.New(nil)}, &sse.Options{OnError: told.add})
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

// What the store says goes to OnError, not to clients.
func TestErrorsOfTheLogAreNotSent(t *testing.T) {
	var told errorLog
	s := serveLog(t, downLog{memlog.New(nil)}, &sse.Options{OnError: told.add})
	for _, query := range []string{"", "?after=beginning", "?after=7", "?lastEventId=garbage!", "?limit=5", "?bounds=only"} {
		response, cancel := s.get(t, query)
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		cancel()
		if err != nil || strings.Contains(fmt.Sprintf("%v %s", response.Header, body), "is down") {
			t.Errorf("%s: %v, header %v, body %s", query, err, response.Header, body)
		}
		if want := map[bool]int{true: 503, false: 200}[query == "?bounds=only"]; response.StatusCode != want {
			t.Errorf("%s: status %d, want %d", query, response.StatusCode, want)
		}
	}
	if !strings.Contains(told.all(), "store is down") {
		t.Errorf("OnError was told %s", told.all())
	}
}

func TestStoreDoesNotAnswer(t *testing.T) {
	log := &hangingLog{Log: memlog.New(nil)}
	handler, err := newHandler(log, &sse.Options{Timeouts: sse.Timeouts{Start: 20 * time.Millisecond}})
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
