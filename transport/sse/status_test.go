package sse_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestStatusCountsWhatWas(t *testing.T) {
	long := strings.Repeat("ä", 400)
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Streams: 1}, Authorize: func(r *http.Request) (sse.Grant, error) {
		switch r.URL.Query().Get("key") {
		case "bad":
			return sse.Grant{}, errors.New("users: down")
		case "long":
			return sse.Grant{}, errors.New(long)
		}
		return sse.Grant{Scope: sse.Everything()}, nil
	}})
	appendData(t, s.log, `1`, `2`)
	first := s.follow(t, "?after=beginning")
	first.want("cdc.hello")
	first.wantPayload(`1`)
	first.wantPayload(`2`)
	first.want("cdc.live")
	appendData(t, s.log, `3`)
	first.wantPayload(`3`)
	s.follow(t, "").want("cdc.reconnect")
	first.close()
	awaitStatus(t, s.handler, "the place to be free", func(st sse.Status) bool { return st.Open == 0 })

	second := s.follow(t, "?after=elsewhere.7")
	second.want("cdc.hello")
	second.want("cdc.reset")
	second.want("cdc.live")
	for _, key := range []string{"bad", "bad", "long"} {
		response, cancel := s.get(t, "?key="+key)
		_ = response.Body.Close()
		cancel()
	}
	st := s.handler.Status()
	if st.Open != 1 || st.Opened != 2 || st.Events != 3 || st.Replayed != 2 || st.Bytes < 300 {
		t.Errorf("got %+v, want 1 open of 2, 3 events of which 2 were replayed", st)
	}
	if st.Ended[sse.EndClient] != 1 || st.Refused[sse.EndOverload] != 1 || st.Resets[cdc.ReasonForeign] != 1 {
		t.Errorf("got ended %v, refused %v, resets %v", st.Ended, st.Refused, st.Resets)
	}
	if st.Failures != 3 || len(st.Recent) != 2 || st.Recent[1].Count != 2 || st.Recent[1].Text != "users: down" {
		t.Errorf("got %d failures %+v, want two equal ones in a row and one more", st.Failures, st.Recent)
	} else if got := st.Recent[0].Text; len(got) > 300 || !strings.HasSuffix(got, "ä…") {
		t.Errorf("a long error is kept as %d bytes %q", len(got), got)
	}
	for one := range st.Streams() {
		if one.State != cdc.Live || one.Position != 3 || one.Replayed != 0 {
			t.Errorf("got %+v, want a live stream at 3", one)
		}
	}
}

// awaitStatus waits for what is accounted for after the client has seen it.
func awaitStatus(t *testing.T, h *sse.Handler, what string, done func(sse.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !done(h.Status()) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %+v", what, h.Status())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
