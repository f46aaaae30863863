package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

// place is how clients reach the server.
type place struct {
	name       string
	compressed bool
	open       func(*testing.T) (s *server, front string, env []string, behind *cutter)
}

var places = []place{
	{name: "HTTP/1.1", open: func(t *testing.T) (*server, string, []string, *cutter) {
		s := newQuickstart(t)
		return s, s.addr, nil, nil
	}},
	{name: "TLS", open: func(t *testing.T) (*server, string, []string, *cutter) {
		cert := newCertificate(t)
		s := newTLSServer(t, cert)
		return s, s.addr, cert.trust(), nil
	}},
	{name: "gzip", compressed: true, open: func(t *testing.T) (*server, string, []string, *cutter) {
		s := newCompressingServer(t)
		return s, s.addr, nil, nil
	}},
	{name: "nginx", open: func(t *testing.T) (*server, string, []string, *cutter) {
		s := newQuickstart(t)
		behind := newCutter(t, s.addr, pick[int64](256<<10, 1<<20))
		return s, startNginx(t, behind.addr()), nil, behind
	}},
}

// follower is a client of the run as the judge sees it.
type follower struct {
	t      *testing.T
	name   string
	seen   *verify.Stream
	cutter *cutter
	stop   func()

	begun     bool
	pos       atomic.Uint64
	resets    atomic.Int64
	recreated atomic.Int64
	drains    atomic.Int64
}

func (f *follower) line(l report.Line) {
	switch l.Event {
	case "#recreate":
		f.recreated.Add(1)
		return
	case "#closed":
		return
	}
	cursor, err := cdc.ParseCursor(l.ID)
	if err != nil {
		f.t.Errorf("%s: %+v: %v", f.name, l, err)
		return
	}
	if !f.begun {
		f.begun = true
		f.seen.Begin(cursor) // of the hello
	}
	switch l.Event {
	case "":
		var body struct{ ID string }
		if err := json.Unmarshal([]byte(l.Data), &body); err != nil {
			f.t.Errorf("%s: %+v: %v", f.name, l, err)
		}
		f.seen.Add(cursor.Seq, verify.Record{Seq: cursor.Seq, ID: body.ID, Sum: sum(l)})
		f.pos.Store(cursor.Seq)
		return
	case "cdc.reset":
		f.resets.Add(1)
	case "cdc.reconnect":
		f.drains.Add(1)
	}
	f.seen.Add(cursor.Seq) // everything up to there has come
}

var seed = maphash.MakeSeed()

// sum is a hash of the event's bytes, which are the same for every client.
func sum(l report.Line) uint64 { return maphash.String(seed, l.ID+"\n"+l.Data) | 1 }

// Each client follows through a proxy that cuts its connections at random
// bytes, while the server is killed and started again, and drained and started
// again, and ends with exactly the log.
func TestEveryClientEndsExact(t *testing.T) {
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel() // the time goes by in pauses before reconnects
			if p.name == "nginx" {
				needNginx(t)
			}
			for _, k := range kinds {
				k.need(t)
			}
			s, front, env, behind := p.open(t)
			c := &campaign{t: t, server: s, behind: behind, total: pick(1500, 10_000)}
			ctx, cancel := context.WithTimeout(t.Context(), pick(3*time.Minute, 20*time.Minute))
			defer cancel()
			limit := pick[int64](96<<10, 128<<10)
			if p.compressed {
				limit /= 4 // about as many events
			}
			for i, k := range kinds {
				f := &follower{t: t, name: k.name, seen: c.history.Stream(k.name), cutter: newCutter(t, front, limit)}
				c.followers = append(c.followers, f)
				f.stop = k.start(t, env, f.line, fmt.Sprintf("%s://%s/events?after=beginning&client=%d", s.scheme, f.cutter.addr(), i))
			}
			c.run(ctx)
			c.judge()
			observe(t, "exact through "+p.name, func(o *observations) {
				for i, k := range kinds {
					o.set(k.name, p.name, "exact"+s.protocol(i))
				}
			})
		})
	}
}

// campaign is one server, its writer and its followers.
type campaign struct {
	t         *testing.T
	server    *server
	behind    *cutter // of the connections behind the front; may be nil
	total     int
	history   verify.History
	followers []*follower
	allowed   atomic.Int64 // how far the writer may go
}

func (c *campaign) run(ctx context.Context) {
	c.t.Helper()
	began := time.Now()
	var writer sync.WaitGroup
	writer.Go(func() { c.write(ctx) })
	defer writer.Wait()
	part := func(percent int) uint64 { return uint64(c.total * percent / 100) }

	c.allowed.Store(int64(part(40)))
	c.await(part(15))
	c.server.stop(syscall.SIGKILL)
	c.server.start()
	c.allowed.Store(int64(part(70)))
	c.await(part(50))
	c.drain(part(75))
	c.allowed.Store(int64(c.total))
	c.await(uint64(c.total))
	c.t.Logf("%d events in %v", c.total, time.Since(began).Round(time.Millisecond))
	for _, f := range c.followers {
		f.stop()
		c.t.Logf("%-36s %3d cuts, told of %d drains, made anew %d times", f.name, f.cutter.cuts.Load(), f.drains.Load(), f.recreated.Load())
		if f.cutter.cuts.Load() == 0 {
			c.t.Errorf("%s was never cut", f.name)
		}
		if f.drains.Load() == 0 {
			c.t.Errorf("%s was not told to reconnect when the server drained", f.name)
		}
		if n := f.resets.Load(); n > 0 {
			c.t.Errorf("%s was reset %d times", f.name, n)
		}
	}
}

// drain ends the server with SIGTERM when every follower has a connection that
// is not about to be cut, and has come to the seq.
func (c *campaign) drain(seq uint64) {
	c.t.Helper()
	c.spare(true)
	c.allowed.Store(int64(seq))
	c.await(seq)
	c.server.stop(syscall.SIGTERM)
	c.spare(false)
	c.server.start()
}

// spare stops the cutting, or begins it again.
func (c *campaign) spare(open bool) {
	for _, f := range c.followers {
		f.cutter.open.Store(open)
	}
	if c.behind != nil {
		c.behind.open.Store(open)
	}
}

// await waits until every follower has come to the seq.
func (c *campaign) await(seq uint64) {
	c.t.Helper()
	for _, f := range c.followers {
		at := f.pos.Load()
		for deadline := time.Now().Add(patience); f.pos.Load() < seq; time.Sleep(5 * time.Millisecond) {
			if now := f.pos.Load(); now > at { // patience is for each step forward
				at, deadline = now, time.Now().Add(patience)
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("%s stays at %d of %d", f.name, f.pos.Load(), seq)
			}
		}
	}
}

// write appends in posts of a few events, as far as it may.
func (c *campaign) write(ctx context.Context) {
	const batch = 25
	for i := 0; i < c.total && ctx.Err() == nil; {
		if int64(i+batch) > c.allowed.Load() {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		var lines []string
		record := verify.Append{Outcome: verify.Acknowledged, Begin: c.history.Tick()}
		for ; len(lines) < batch && i < c.total; i++ {
			id := fmt.Sprintf("e%d", i)
			lines = append(lines, fmt.Sprintf(`{"id":%q,"topic":"e2e","type":"tick","key":"%d","data":%s}`, id, i%100, payload(i)))
			record.Records = append(record.Records, verify.Record{ID: id})
		}
		if err := c.server.post(ctx, lines); err != nil {
			return
		}
		record.End = c.history.Tick()
		c.history.Append(record)
		time.Sleep(5 * time.Millisecond)
	}
}

// payload is the data of the i-th event: mostly short, some in several lines,
// some with letters of several bytes, which cuts split, a few longer than what
// clients buffer.
func payload(i int) string {
	pad := strings.Repeat("x", i*37%200)
	switch {
	case i%1000 == 500:
		pad = strings.Repeat("long ", pick(4<<10, 14<<10))
	case i%10 == 3:
		return fmt.Sprintf("{\r\r  \"n\": %d,\r  \"pad\": %q\r}", i, pad)
	case i%10 == 7:
		pad = strings.Repeat("ä語🚀\u2028", i%20)
	}
	return fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, pad)
}

// judge compares the streams with each other and with the log.
func (c *campaign) judge() {
	c.t.Helper()
	log := c.history.Log("the log")
	var events int
	err := readStream(c.t.Context(), c.server.http, c.server.url("/events?after=beginning"), func(l report.Line) bool {
		cursor, err := cdc.ParseCursor(l.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		if l.Event == "cdc.hello" {
			log.Begin(cursor)
		}
		if l.Event == "" {
			events++
			var body struct{ ID string }
			if err := json.Unmarshal([]byte(l.Data), &body); err != nil {
				c.t.Fatal(err)
			}
			log.Add(cursor.Seq, verify.Record{Seq: cursor.Seq, ID: body.ID, Sum: sum(l)})
		}
		return events < c.total
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for i, v := range verify.Verify(&c.history) {
		if i == 10 {
			c.t.Fatal("and more")
		}
		c.t.Error(v)
	}
}
