package sse_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// zipCosts are what is compared: streams that are not compressed, by us, and by
// a middleware for each client.
var zipCosts = []string{"plain", "zipped", "middleware"}

// serveZipCosts adds a handler for each to the cost server.
func serveZipCosts(mux *http.ServeMux, log cdc.Log) error {
	handlers := map[string]*sse.Handler{}
	for _, name := range zipCosts {
		h, err := sse.NewHandler(log, &sse.Options{Heartbeat: 10 * time.Minute, Limits: sse.Limits{Compress: name == "zipped"}})
		if err != nil {
			return err
		}
		handlers[name] = h
	}
	mux.Handle("GET /plain", handlers["plain"])
	mux.Handle("GET /zipped", handlers["zipped"])
	mux.HandleFunc("GET /middleware", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		handlers["middleware"].ServeHTTP(&zipWriter{w, zip}, r)
	})
	mux.HandleFunc("GET /opened/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, handlers[r.PathValue("name")].Status().Opened)
	})
	mux.HandleFunc("GET /sent/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, handlers[r.PathValue("name")].Status().Events)
	})
	mux.HandleFunc("POST /varied", func(_ http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		if _, err := cdc.Append(r.Context(), log, variedOrders(n)...); err != nil {
			panic(err)
		}
	})
	return nil
}

// zipWriter is what a middleware does that compresses for each client.
type zipWriter struct {
	http.ResponseWriter
	zip *gzip.Writer
}

func (w *zipWriter) Unwrap() http.ResponseWriter       { return w.ResponseWriter }
func (w *zipWriter) Write(p []byte) (n int, err error) { return w.zip.Write(p) }
func (w *zipWriter) FlushError() error {
	if err := w.zip.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// variedOrders are events that differ as those of a shop do.
func variedOrders(n int) []cdc.Event {
	cities := []string{"Berlin", "Lisboa", "Wrocław", "São Paulo", "Aarhus", "Ghent", "Turin", "Malmö"}
	events := make([]cdc.Event, n)
	for i := range events {
		data := fmt.Sprintf(`{"customer":"c-%05d","total":%d.%02d,"items":[%d,%d,%d],"city":%q}`,
			rand.IntN(100_000), rand.IntN(1000), rand.IntN(100), rand.IntN(500), rand.IntN(500), rand.IntN(500), cities[rand.IntN(len(cities))])
		types := []string{"order.created", "order.paid", "order.shipped"}
		events[i] = cdc.Event{Topic: "orders", Type: types[rand.IntN(3)], Key: fmt.Sprintf("order-%07d", rand.IntN(10_000_000)), Data: []byte(data)}
	}
	return events
}

// zipClients are clients of which a few decode what comes and note how late it is.
type zipClients struct {
	p     *costProcess
	name  string
	conns []net.Conn
	bytes atomic.Int64
	group sync.WaitGroup

	mu   sync.Mutex
	late []time.Duration
}

const zipReaders = 10

func (p *costProcess) zipClients(name string, n int) *zipClients {
	p.t.Helper()
	c := &zipClients{p: p, name: name}
	for i := range n {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		encoding := "gzip"
		if name == "plain" {
			encoding = "identity"
		}
		fmt.Fprintf(conn, "GET /%s?after=0 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n\r\n", name, encoding)
		c.group.Go(func() {
			if i < zipReaders {
				c.read(conn)
			} else {
				_, _ = io.Copy(counter{&c.bytes}, conn)
			}
		})
	}
	c.await("opened", func() bool { return p.number("opened/"+name) == n })
	return c
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// read decodes a stream and notes how long after its time each event came.
func (c *zipClients) read(conn net.Conn) {
	response, err := http.ReadResponse(bufio.NewReaderSize(io.TeeReader(conn, counter{&c.bytes}), 64<<10), nil)
	if err != nil {
		return
	}
	body := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return
		}
	}
	lines := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		_, after, ok := bytes.Cut(line, []byte(`"time":"`))
		if !ok {
			continue
		}
		text, _, _ := bytes.Cut(after, []byte(`"`))
		at, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			c.p.t.Error(err)
		}
		c.mu.Lock()
		c.late = append(c.late, time.Since(at))
		c.mu.Unlock()
	}
}

func (c *zipClients) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.late)
}

func (c *zipClients) await(what string, done func() bool) {
	c.p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			c.p.t.Fatalf("%s: waited for %s", c.name, what)
		}
	}
}

// number reads a number of the server.
func (p *costProcess) number(path string) int {
	response, err := http.Get("http://" + p.addr + "/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	n, err := strconv.Atoi(string(text))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// send appends events and waits until every client was sent them and the
// readers have them.
func (c *zipClients) send(events, total int) {
	c.p.t.Helper()
	response, err := http.PostForm("http://"+c.p.addr+"/varied", url.Values{"n": {strconv.Itoa(events)}})
	if err != nil {
		c.p.t.Fatal(err)
	}
	_ = response.Body.Close()
	c.await("readers", func() bool { return c.received() >= total*zipReaders })
	c.await("sent", func() bool { return c.p.number("sent/"+c.name) >= total*len(c.conns) })
}

func (c *zipClients) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.group.Wait()
}

// zipCost is what was measured.
type zipCost struct {
	cpu, bytes float64 // a frame, in ns and bytes
	late       []time.Duration
	resident   int64 // of the process, in bytes
}

// measure sends rounds of events, one each pause, and returns what they cost. The
// first round is not counted.
func (p *costProcess) measure(name string, clients, events, rounds int, pause time.Duration) zipCost {
	c := p.zipClients(name, clients)
	defer c.close()
	c.send(events, events)
	before, bytes, late := p.usage().CPU, c.bytes.Load(), c.received()
	for i := range rounds {
		c.send(events, events*(i+2))
		time.Sleep(pause)
	}
	frames := float64(clients * events * rounds)
	u := p.usage()
	slices.Sort(c.late[late:])
	return zipCost{float64(u.CPU-before) / frames, float64(c.bytes.Load()-bytes) / frames, c.late[late:], u.Resident}
}

// TestCompressionCost compares in turns, each with a server in a process of its
// own: bytes, CPU and time of a frame to a client, in bursts and one by one.
func TestCompressionCost(t *testing.T) {
	for _, load := range []struct {
		clients, events, rounds int
		pause                   time.Duration
	}{{100, 2000, 4, 0}, {1000, 2000, 2, 0}, {1000, 1, 50, 100 * time.Millisecond}} {
		t.Run(fmt.Sprintf("%d clients, %d events", load.clients, load.events), func(t *testing.T) {
			for range 3 {
				for _, name := range zipCosts {
					p := startCostServer(t)
					cost := p.measure(name, load.clients, load.events, load.rounds, load.pause)
					p.stop()
					at := func(percent int) time.Duration { return cost.late[(len(cost.late)-1)*percent/100] }
					t.Logf("%-10s %6.0f ns of server CPU, %5.1f bytes a frame; late p50 %v, p99 %v; process %d MB",
						name, cost.cpu, cost.bytes, at(50).Round(10*time.Microsecond), at(99).Round(10*time.Microsecond), cost.resident>>20)
				}
			}
		})
	}
}
