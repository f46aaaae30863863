package sse_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// recorder keeps what its Observer is told.
type recorder struct {
	mu     sync.Mutex
	opened []sse.StreamOpened
	ended  []sse.StreamEnded
	sent   sse.StreamSent // sums
	replay int            // events sent while replaying
}

func (r *recorder) observer() sse.Observer {
	return sse.Observer{
		StreamOpened: func(o sse.StreamOpened) { r.note(func() { r.opened = append(r.opened, o) }) },
		StreamEnded:  func(e sse.StreamEnded) { r.note(func() { r.ended = append(r.ended, e) }) },
		StreamSent: func(s sse.StreamSent) {
			r.note(func() {
				r.sent.Events += s.Events
				r.sent.Bytes += s.Bytes
				r.sent.Delay = max(r.sent.Delay, s.Delay)
				if s.State == cdc.Replaying {
					r.replay += s.Events
				}
			})
		},
	}
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
		got = nil
		r.note(func() {
			for _, e := range r.ended {
				got = append(got, fmt.Sprint(e.Reason, " ", e.Admitted))
			}
		})
		if slices.Equal(got, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("ended %q, want %q", got, want)
}

func TestMaxStreamsAndWhatIsObserved(t *testing.T) {
	var told recorder
	s := serve(t, nil, &sse.Options{
		Limits: sse.Limits{Streams: 1}, Observer: told.observer(),
	})
	appendData(t, s.log, `1`, `2`)
	f := s.follow(t, "?after=beginning&topic=t")
	f.want("cdc.hello")
	f.wantPayload(`1`)
	f.wantPayload(`2`)
	f.want("cdc.live")
	appendData(t, s.log, `3`)
	f.wantPayload(`3`)

	awaitStatus(t, s.handler, "three events", func(st sse.Status) bool { return st.Events == 3 })
	all := slices.Collect(s.handler.Status().Streams())
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
	awaitStatus(t, s.handler, "the place to be free", func(st sse.Status) bool { return st.Open == 0 })
	third := s.follow(t, "")
	third.want("cdc.hello")
	if err := s.handler.Close(); err != nil {
		t.Error(err)
	}
	told.wantEnded(t, "overload false", "client true", "drain true")
	told.note(func() {
		if len(told.opened) != 2 || told.opened[0].Filter.Topics[0] != "t" || told.opened[0].Start != cdc.Beginning() || told.opened[0].Remote == "" {
			t.Errorf("opened %+v", told.opened)
		}
		if told.sent.Events != 3 || told.replay != 2 || told.sent.Bytes < 300 || told.sent.Delay <= 0 {
			t.Errorf("observed %+v", &told)
		}
		if e := told.ended[1]; e.Cursor.Seq != 3 || e.Events != 3 || e.Bytes < 300 || e.Age <= 0 || e.Remote == "" {
			t.Errorf("ended %+v", e)
		}
	})
}

func TestMaxAge(t *testing.T) {
	var told recorder
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Age: time.Second}, Observer: told.observer()})
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
	s := serve(t, nil, nil)
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
	if err := s.handler.Drain(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	group.Wait()
	slices.Sort(ends)
	if spread := ends[len(ends)-1] - ends[0]; spread < 50*time.Millisecond {
		t.Errorf("20 streams ended within %v, want them spread over a second", spread)
	}
}
