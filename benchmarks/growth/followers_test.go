package growth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// crowd is n followers of one log in this process. What they take from the
// network or give to it is not in their cost.
type crowd struct {
	log  log
	got  atomic.Int64 // events, all followers together
	size int
	hub  *cdc.Hub
}

// follow lets n goroutines follow a Hub, each with its own filter if there is one.
func follow(t *testing.T, l log, n int, filter func(i int) cdc.Filter) *crowd {
	t.Helper()
	hub, err := cdc.NewHub(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{log: l, size: n, hub: hub}
	ctx, cancel := context.WithCancel(t.Context())
	var all, live sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		all.Wait()
		_ = hub.Close()
	})
	for i := range n {
		var o cdc.FollowOptions
		if filter != nil {
			o.Filter = filter(i)
		}
		live.Add(1)
		all.Go(func() {
			first := true
			for batch := range cdc.Follow(ctx, hub, cdc.Latest(), &o) {
				if first && batch.State == cdc.Live {
					first = false
					live.Done()
				}
				c.got.Add(int64(len(batch.Events)))
			}
		})
	}
	live.Wait()
	return c
}

// nowhere is a client that takes everything at once.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header              { return w.header }
func (w nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (w nowhere) WriteHeader(int)                  {}
func (w nowhere) Flush()                           {}
func (w nowhere) SetWriteDeadline(time.Time) error { return nil }
func (w nowhere) SetReadDeadline(time.Time) error  { return nil }

// stream opens n streams of an SSE handler.
func stream(t *testing.T, l log, n int) *crowd {
	t.Helper()
	c := &crowd{log: l, size: n}
	h, err := sse.NewHandler(l, &sse.Options{
		Start: cdc.Latest(), Limits: sse.Limits{Streams: n},
		Observer: sse.Observer{StreamSent: func(s sse.StreamSent) { c.got.Add(int64(s.Events)) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = h.Close()
		all.Wait()
	})
	for range n {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		all.Go(func() { h.ServeHTTP(nowhere{http.Header{}}, r) })
	}
	until(t, "streams are open", func() bool { return h.Status().Open == n })
	time.Sleep(time.Duration(times(200)) * time.Millisecond) // they reach the head
	return c
}

// publish appends batches and waits until all followers have got them.
func (c *crowd) publish(t *testing.T, batches, each int) {
	t.Helper()
	want := c.got.Load() + int64(batches)*int64(each)*int64(c.size)
	for i := range batches {
		if _, err := c.log.Append(t.Context(), events(i*each, each, 1)...); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all followers have the events", func() bool { return c.got.Load() >= want })
}

// alone is the cost of an event for which all wait.
func (c *crowd) alone(t *testing.T, rounds int) time.Duration {
	t.Helper()
	var cost time.Duration
	for range rounds {
		time.Sleep(time.Millisecond + time.Duration(c.size)*time.Microsecond) // all wait again
		start := control.CPU()
		c.publish(t, 1, 1)
		cost += control.CPU() - start
	}
	return cost / time.Duration(rounds)
}

// burst is the cost of a frame when 5,000 events, which a Hub's tail holds, come
// as fast as they can.
func (c *crowd) burst(t *testing.T) time.Duration {
	t.Helper()
	rounds, batches := times(max(1, min(100, 10_000/c.size))), times(50)
	start := control.CPU()
	for range rounds {
		c.publish(t, batches, 100)
	}
	return (control.CPU() - start) / time.Duration(rounds*batches*100*c.size)
}

func inMemory(*testing.T) log { return memlog.New(nil) }

func inFile(t *testing.T) log {
	l, err := boltlog.OpenFile(t.Context(), filepath.Join(t.TempDir(), "log.db"), "events", &boltlog.FileOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A frame costs the same however many followers there are.
func TestFollowers(t *testing.T) {
	for _, c := range []struct {
		name  string
		open  func(*testing.T) log
		crowd func(*testing.T, log, int) *crowd
	}{
		{"a Hub in memory", inMemory, func(t *testing.T, l log, n int) *crowd { return follow(t, l, n, nil) }},
		{"a Hub on bbolt", inFile, func(t *testing.T, l log, n int) *crowd { return follow(t, l, n, nil) }},
		{"an SSE handler in memory", inMemory, stream},
		{"an SSE handler on bbolt", inFile, stream},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := newTable(t, "Followers of "+c.name, "followers", "one event: CPU", "one event: CPU a frame", "burst: CPU a frame", "memory a follower")
			for _, n := range steps(1, 10_000) {
				t.Run("", func(t *testing.T) {
					l := c.open(t)
					t.Cleanup(func() { _ = l.Close() })
					before := resident()
					crowd := c.crowd(t, l, n)
					memory := (resident() - before) / int64(n)
					crowd.publish(t, 1, 1)
					one := crowd.alone(t, times(min(500, max(30, 100_000/n))))
					tab.row(n, one, one/time.Duration(n), crowd.burst(t), kb(memory))
				})
			}
		})
	}
}
