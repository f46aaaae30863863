package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/test/e2e/clients/report"
	"github.com/gapless-go/gapless/transport/sse"
)

// crossing is one client behind one hop, as the judge sees it.
type crossing struct {
	t      *testing.T
	client string
	hop    *hop

	mu       sync.Mutex
	next     uint64 // the seq of the event that must come
	lost     uint64
	repeated uint64
	events   map[string]uint64 // lines by event, but for events of the log
}

func (c *crossing) String() string { return c.client + ", " + c.hop.fault.name }

func (c *crossing) line(l report.Line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.Event == "" {
		c.event(l)
	} else {
		c.events[l.Event]++
	}
}

func (c *crossing) event(l report.Line) {
	cursor, err := cdc.ParseCursor(l.ID)
	if err != nil {
		c.t.Errorf("%s: %+v: %v", c, l, err)
		return
	}
	type content struct {
		N   int
		Pad string
	}
	var body struct {
		ID   string
		Data content
	}
	var want content
	err = cmp.Or(json.Unmarshal([]byte(l.Data), &body), json.Unmarshal([]byte(payload(int(cursor.Seq-1))), &want))
	if err != nil || body.ID != fmt.Sprintf("e%d", cursor.Seq) || body.Data != want {
		c.t.Errorf("%s: event %d came as %.300s: %v", c, cursor.Seq, l.Data, err)
	}
	switch {
	case cursor.Seq < c.next:
		c.repeated++
		return
	case cursor.Seq > c.next:
		c.lost += cursor.Seq - c.next
	}
	c.next = cursor.Seq + 1
}

// at is the seq of the last event.
func (c *crossing) at() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next - 1
}

// crossings are every client behind a hop of every fault, and the log that they
// follow.
type crossings struct {
	t              *testing.T
	log            *memlog.Log
	steady, ending string // addresses of servers; ending ends its streams by itself
	forEver        bool   // hops spoil three of four requests, not the first few
	all            []*crossing
}

// serveLog serves the log to pages of every origin, over streams that end by
// themselves or not.
func serveLog(t *testing.T, log cdc.Log, age time.Duration) string {
	mux := http.NewServeMux()
	mux.Handle("/events", newHandler(t, log, &sse.Options{
		Heartbeat: 300 * time.Millisecond, Retry: 50 * time.Millisecond,
		Limits: sse.Limits{Age: age}, CORS: &sse.CORS{Origins: []string{"*"}},
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return strings.TrimPrefix(serve(t, mux, false, nil).URL, "http://")
}

// followThroughFaults starts every client behind hops with every fault. For
// ever, all servers end their streams, so that no hop is done.
func followThroughFaults(t *testing.T, clients []kind, forEver bool) *crossings {
	t.Helper()
	log := memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	cs := &crossings{t: t, log: log, forEver: forEver}
	if forEver {
		cs.ending = serveLog(t, log, 5*time.Second)
		cs.steady = cs.ending
	} else {
		cs.ending, cs.steady = serveLog(t, log, time.Second), serveLog(t, log, 0)
	}
	browser := kind{name: "Chromium", command: []string{"node", "node/chromium.js"}, node: true}
	var inBrowser []*crossing // one browser for all its clients
	for _, k := range clients {
		mine, urls := cs.hops(k)
		if k.browser {
			inBrowser = append(inBrowser, mine...)
			browser.command = slices.Concat(browser.command, k.command[2:], urls)
			continue
		}
		variable := "E2E_SILENCE"
		if k.watches {
			variable = "E2E_READ_TIMEOUT"
		}
		k.start(t, []string{variable + silence}, func(l report.Line) { mine[l.N].line(l) }, urls...)
	}
	browser.start(t, []string{"E2E_SILENCE" + silence}, func(l report.Line) { inBrowser[l.N].line(l) })
	return cs
}

// silence, in ms, is when programs give up on a stream: far more than a
// heartbeat, because the machine that runs this may be busy.
const silence = "=8000"

// hops makes one for each fault, and returns the addresses of the streams.
func (cs *crossings) hops(k kind) (all []*crossing, urls []string) {
	for _, f := range faults {
		target, spoils := cs.steady, cmp.Or(f.spoils, 4)
		if f.ends {
			target = cs.ending
		}
		if cs.forEver {
			spoils = -1
		}
		c := &crossing{t: cs.t, client: k.name, hop: newHop(cs.t, target, f, spoils), next: 1, events: map[string]uint64{}}
		all = append(all, c)
		urls = append(urls, "http://"+c.hop.addr()+"/events?after=beginning&heartbeat=event")
	}
	cs.all = append(cs.all, all...)
	return all, urls
}

// append appends the ten events after the first n, and returns how many there
// are.
func (cs *crossings) append(n int) int {
	cs.t.Helper()
	events := make([]cdc.Event, 10)
	for i := range events {
		events[i] = cdc.Event{ID: fmt.Sprintf("e%d", n+i+1), Topic: "e2e", Type: "tick", Data: []byte(payload(n + i))}
	}
	if _, err := cs.log.Append(cs.t.Context(), events...); err != nil {
		cs.t.Fatal(err)
	}
	return n + len(events)
}

// monitor asks with HEAD where the hop makes a GET of it, as monitors do.
func (cs *crossings) monitor() {
	cs.t.Helper()
	for _, c := range cs.all {
		if c.hop.fault.name != headIntoGet {
			continue
		}
		before := c.hop.faults.Load()
		response, err := http.Head("http://" + c.hop.addr() + "/events?after=latest")
		if err != nil {
			cs.t.Errorf("%s: HEAD: %v", c, err)
			continue
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK || c.hop.faults.Load() == before {
			cs.t.Errorf("%s: HEAD has status %d, want 200 and a hop that makes a GET of it", c, response.StatusCode)
		}
	}
}

// await waits until everyone has the event.
func (cs *crossings) await(seq uint64, within time.Duration) {
	cs.t.Helper()
	deadline, report := time.Now().Add(within), time.Now().Add(patience)
	for _, c := range cs.all {
		for c.at() < seq && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
			if time.Now().After(report) {
				cs.t.Logf("%s is at %d of %d after %d requests", c, c.at(), seq, c.hop.requests.Load())
				report = report.Add(patience)
			}
		}
		if at := c.at(); at < seq {
			cs.t.Errorf("%s stays at %d of %d after %d requests", c, at, seq, c.hop.requests.Load())
		}
	}
}

// judge fails for what was lost or came twice.
func (cs *crossings) judge() {
	cs.t.Helper()
	for _, c := range cs.all {
		c.mu.Lock()
		if c.lost+c.repeated > 0 || c.events["cdc.reset"] > 0 {
			cs.t.Errorf("%s: %d events lost, %d repeated; %v", c, c.lost, c.repeated, c.events)
		}
		cs.t.Logf("%-80s %3d requests %3d faults %3d cuts %v", c, c.hop.requests.Load(), c.hop.faults.Load(), c.hop.cuts.Load(), c.events)
		c.mu.Unlock()
	}
}

// Every client is exact through every fault of a hop: each event once, in
// order, to the end. What its program had to do for that is in the table.
func TestEveryClientThroughEveryFault(t *testing.T) {
	clients := slices.Concat(kinds, others)
	for _, k := range clients {
		k.need(t)
	}
	t.Parallel()
	const total = 120
	cs := followThroughFaults(t, clients, false)
	cs.monitor()
	for n := 0; n < total; time.Sleep(100 * time.Millisecond) {
		n = cs.append(n)
	}
	cs.await(total, 3*patience)
	cs.judge()
	if !t.Failed() {
		cs.table(clients)
	}
}
