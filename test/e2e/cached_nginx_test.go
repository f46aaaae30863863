package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// countedLog counts the events that are read from it.
type countedLog struct {
	*memlog.Log
	read atomic.Uint64
}

func (l *countedLog) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	page, err := l.Log.Read(ctx, after, limit)
	l.read.Add(uint64(len(page.Events)))
	return page, err
}

// countedOrders has n events, a multiple of 1,000.
func countedOrders(t *testing.T, n int) *countedLog {
	t.Helper()
	log := &countedLog{Log: memlog.New(nil)}
	t.Cleanup(func() { log.Close() })
	for first := 1; first <= n; first += 1000 {
		batch := make([]cdc.Event, 1000)
		for i := range batch {
			batch[i] = cdc.Event{Topic: "orders", Type: "order.created", Data: []byte(`{"total":` + strconv.Itoa(first+i) + `}`)}
		}
		if _, err := log.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// nginxOf is the nginx block of a page of the docs.
func nginxOf(t *testing.T, file string) string {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```nginx\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("%s has no nginx block", file)
	}
	return block
}

// Many clients that come from the beginning read the log once, behind an nginx
// with the configuration of docs/sse.md: with GAPLESS_SOAK 1,000 of them 100,000
// events each, at most 200 at once.
func TestManyClientsReadTheOriginOnce(t *testing.T) {
	needNginx(t)
	clients, events := pick(20, 1000), pick(5000, 100_000)
	log := countedOrders(t, events)
	handler := newHandler(t, log, &sse.Options{Pages: sse.Pages{Public: true}})
	var pages atomic.Int64
	origin := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("logpage") {
			pages.Add(1)
		}
		handler.ServeHTTP(w, r)
	}), false, nil)
	url := "http://" + startNginx(t, strings.TrimPrefix(origin.URL, "http://"), nginxOf(t, "../../docs/sse.md")) + "/events"

	begun := time.Now()
	var bytes atomic.Int64
	inParallel(min(clients, 200), clients, func(int) {
		c := catchUp{url: url, http: &http.Client{Transport: &http.Transport{}}, bytes: &bytes}
		defer c.http.CloseIdleConnections()
		if err := c.run(t.Context()); err != nil || c.seq != events {
			t.Errorf("the client is at %d of %d: %v", c.seq, events, err)
		}
	})
	took := time.Since(begun)
	status := handler.Status()
	t.Logf("%d clients × %d events in %.1f s, %.2f GB: the origin served %d pages and %d events, and read %d from the log",
		clients, events, took.Seconds(), float64(bytes.Load())/1e9, pages.Load(), status.Events, log.read.Load())
	whole := events / 512
	if pages.Load() != int64(whole) {
		t.Errorf("the origin served %d pages, want each of %d once", pages.Load(), whole)
	}
	if limit := uint64(events + clients*512); status.Events > limit {
		t.Errorf("the origin served %d events, want at most %d: each in a page once, and the rest of the last page to each", status.Events, limit)
	}
	if log.read.Load() > uint64(events+events/10+1024) {
		t.Errorf("%d events were read from the log, want about %d", log.read.Load(), events)
	}

	served := pages.Load() // by the other client, whose pages are in another form
	for range 3 {
		followPages(t, url, events)
	}
	if got := pages.Load() - served; got != int64(whole) {
		t.Errorf("3 remote logs took %d pages from the origin, want each of %d once", got, whole)
	}
}

// inParallel calls f n times, at most so many at once.
func inParallel(atOnce, n int, f func(i int)) {
	var group sync.WaitGroup
	next := atomic.Int64{}
	for range atOnce {
		group.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
	group.Wait()
}

// followPages follows a remote log to its last event.
func followPages(t *testing.T, url string, events int) {
	t.Helper()
	l, err := remote.Open(url, &remote.Options{Pages: 1, OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := 0
	for b, err := range cdc.Follow(t.Context(), l, cdc.Beginning(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			if n++; e.Seq != uint64(n) {
				t.Fatalf("event %d is number %d", e.Seq, n)
			}
		}
		if n == events {
			return
		}
	}
}

// catchUp is a client that is fast enough for a thousand of them: it looks at
// the names, ids and ends of what comes, and requires every seq.
type catchUp struct {
	url   string
	http  *http.Client
	bytes *atomic.Int64

	seq  int    // of the last event
	id   string // the last
	data string // of the last control frame
	name string
}

func (c *catchUp) run(ctx context.Context) error {
	if err := c.read(ctx, "after=beginning&logpages=1"); err != nil {
		return err
	}
	var sent struct {
		Pages struct{ Size, To int }
	}
	if err := json.Unmarshal([]byte(c.data), &sent); err != nil || sent.Pages.Size == 0 {
		return fmt.Errorf("the stream ended with %s", c.data)
	}
	epoch, _, _ := strings.Cut(c.id, ".")
	for c.seq < sent.Pages.To {
		from := c.seq
		if err := c.read(ctx, fmt.Sprintf("logpage=%s.%d-%d", epoch, from, from+sent.Pages.Size)); err != nil {
			return err
		}
		if want := fmt.Sprintf(`{"events":%d}`, sent.Pages.Size); c.data != want || c.seq != from+sent.Pages.Size {
			return fmt.Errorf("the page after %d ended at %d with %s", from, c.seq, c.data)
		}
	}
	return c.read(ctx, "after="+c.id)
}

// read reads an answer until it ends or is live.
func (c *catchUp) read(ctx context.Context, query string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"?"+query, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", query, response.StatusCode)
	}
	c.data = ""
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	for c.name != "cdc.live" {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			if c.data == "" {
				return fmt.Errorf("%s: %w", query, err)
			}
			return nil
		}
		c.bytes.Add(int64(len(line)))
		if err := c.line(string(line[:len(line)-1])); err != nil {
			return err
		}
	}
	return nil
}

func (c *catchUp) line(text string) error {
	field, value, _ := strings.Cut(text, ": ")
	switch {
	case field == "event":
		c.name = value
	case field == "data" && c.name != "":
		c.data = value
	case field == "id":
		c.id = value
		_, rest, _ := strings.Cut(value, ".")
		number, _, _ := strings.Cut(rest, ".")
		seq, err := strconv.Atoi(number)
		if c.name == "" && (err != nil || seq != c.seq+1) {
			return fmt.Errorf("event %s came after %d", value, c.seq)
		}
		if c.name == "" {
			c.seq = seq
		}
	case text == "" && c.name != "cdc.live":
		c.name = ""
	}
	return nil
}
