package sse_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// recorder is an Observer that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	opened int
	ended  []string
	sent   cdc.StreamSent // sums
	replay int            // events sent while replaying
	reads  int
}

func (r *recorder) HubRead(cdc.HubRead) { r.note(func() { r.reads++ }) }
func (r *recorder) StreamOpened()       { r.note(func() { r.opened++ }) }
func (r *recorder) StreamSent(s cdc.StreamSent) {
	r.note(func() {
		r.sent.Events += s.Events
		r.sent.Bytes += s.Bytes
		r.sent.Delay = max(r.sent.Delay, s.Delay)
		if s.State == cdc.Replaying {
			r.replay += s.Events
		}
	})
}

func (r *recorder) StreamEnded(reason string, admitted bool) {
	r.note(func() { r.ended = append(r.ended, fmt.Sprint(reason, " ", admitted)) })
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// wantEnded waits until exactly these ends were told.
func (r *recorder) wantEnded(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for range 500 {
		r.note(func() { got = slices.Clone(r.ended) })
		if slices.Equal(got, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("ended %q, want %q", got, want)
}

func TestMaxStreamsAndWhatIsObserved(t *testing.T) {
	var told recorder
	var logged bytes.Buffer
	s := serve(t, nil, &sse.Options{
		MaxStreams: 1, Observer: &told,
		Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	appendData(t, s.log, `1`, `2`)
	f := s.follow(t, "?after=beginning&topic=t")
	f.want("cdc.hello")
	f.wantPayload(`1`)
	f.wantPayload(`2`)
	f.want("cdc.live")
	appendData(t, s.log, `3`)
	f.wantPayload(`3`)

	all := s.handler.Streams()
	for range 500 { // it is accounted for after the write
		if all = s.handler.Streams(); all[0].Events == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(all) != 1 || all[0].Position != 3 || all[0].Events != 3 || all[0].State != cdc.Live || all[0].Filter.Topics[0] != "t" {
		t.Errorf("streams %+v", all)
	}
	second := s.follow(t, "", "Last-Event-ID", "a.1")
	if got := second.want("cdc.reconnect"); got.id != "a.1" || got.retry == "" {
		t.Errorf("overload answered %+v", got)
	}
	second.wantEnd()
	f.close()
	told.wantEnded(t, "overload false", "client true")
	for range 500 { // the place is free when the handler has returned
		if len(s.handler.Streams()) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	third := s.follow(t, "")
	third.want("cdc.hello")
	if err := s.handler.Close(); err != nil {
		t.Error(err)
	}
	told.wantEnded(t, "overload false", "client true", "drain true")
	told.note(func() {
		if told.opened != 2 || told.sent.Events != 3 || told.replay != 2 || told.sent.Bytes < 300 || told.sent.Delay <= 0 || told.reads == 0 {
			t.Errorf("observed %+v", &told)
		}
	})
	if text := logged.String(); strings.Count(text, "stream opened") != 2 || strings.Count(text, "reason=drain") != 1 {
		t.Errorf("logged %s", text)
	}
}

func TestMaxAge(t *testing.T) {
	var told recorder
	s := serve(t, nil, &sse.Options{MaxAge: time.Second, Observer: &told})
	f := s.follow(t, "")
	f.want("cdc.hello")
	begin := time.Now()
	f.want("cdc.live")
	if got := f.want("cdc.reconnect"); got.retry == "" {
		t.Errorf("reconnect %+v without a retry", got)
	}
	f.wantEnd()
	if age := time.Since(begin); age > 5*time.Second {
		t.Errorf("ended after %v, want 0.8 to 1 s", age)
	}
	told.wantEnded(t, "max-age true")
}

func TestDrainWindow(t *testing.T) {
	s := serve(t, nil, &sse.Options{DrainWindow: time.Second})
	var group sync.WaitGroup
	var mu sync.Mutex
	var ends []time.Duration
	begin := make(chan time.Time)
	for range 20 {
		f := s.follow(t, "")
		f.want("cdc.hello")
		f.want("cdc.live")
		group.Go(func() {
			at := <-begin
			f.want("cdc.reconnect")
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, time.Since(at))
		})
	}
	now := time.Now()
	for range 20 {
		begin <- now
	}
	if err := s.handler.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	group.Wait()
	slices.Sort(ends)
	if spread := ends[len(ends)-1] - ends[0]; spread < 50*time.Millisecond {
		t.Errorf("20 streams ended within %v, want them spread over a second", spread)
	}
}
