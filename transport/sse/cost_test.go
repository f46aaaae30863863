package sse_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// costServer makes the test binary a server in a process of its own, so that
// its CPU time and memory can be told from those of the clients.
const costServer = "GAPLESS_SSE_COST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(costServer) != "" {
		runCostServer()
		return
	}
	os.Exit(m.Run())
}

func runCostServer() {
	log := memlog.New(nil)
	mux := http.NewServeMux()
	for path, park := range map[string]bool{"/events": false, "/parked": true} {
		handler, err := sse.NewHandler(log, &sse.Options{Heartbeat: 10 * time.Minute, Limits: sse.Limits{Park: park}})
		if err != nil {
			panic(err)
		}
		mux.Handle("GET "+path, handler)
	}
	if err := serveZipCosts(mux, log); err != nil {
		panic(err)
	}
	raw := &rawStreams{}
	mux.HandleFunc("GET /bare", serveBare)
	mux.HandleFunc("GET /raw", raw.serve)
	mux.HandleFunc("POST /burst", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		raw.send(n)
		if _, err := log.Append(r.Context(), orders(n)...); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /usage", serveUsage)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if name := os.Getenv("GAPLESS_BENCH_PROFILE"); name != "" {
		if profile, err := os.Create(name + strconv.Itoa(os.Getpid())); err == nil {
			_ = pprof.StartCPUProfile(profile)
		}
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		pprof.StopCPUProfile()
		os.Exit(0)
	}()
	_ = http.Serve(listener, mux)
}

// serveBare is a stream that nothing is sent on.
func serveBare(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// rawStreams write bursts of text that is made once.
type rawStreams struct{ open sync.Map } // of channels

func (s *rawStreams) serve(w http.ResponseWriter, _ *http.Request) {
	c := http.NewResponseController(w)
	bursts := make(chan []byte, 1)
	s.open.Store(bursts, nil)
	_, _ = io.WriteString(w, "event: cdc.live\ndata: {}\n\n")
	_ = c.Flush()
	for burst := range bursts {
		for len(burst) > 0 {
			n := min(len(burst), 64<<10)
			_, _ = w.Write(burst[:n])
			_ = c.Flush()
			burst = burst[n:]
		}
	}
}

func (s *rawStreams) send(n int) {
	text := bytes.Repeat([]byte(`data: {"cur`+strings.Repeat("x", 277)+"\n\n"), n)
	s.open.Range(func(key, _ any) bool { key.(chan []byte) <- text; return true })
}

func orders(n int) []cdc.Event {
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Topic: "orders", Type: "order.created", Key: "order-1234567", Data: []byte(`{"customer":"c-12345","total":1234.56,"items":[1,2,3],"note":"` + strings.Repeat("x", 20) + `"}`)}
	}
	return events
}

func serveUsage(w http.ResponseWriter, _ *http.Request) {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	debug.FreeOSMemory()
	status, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_ = json.NewEncoder(w).Encode(usage{
		CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Resident: pages * int64(os.Getpagesize()),
		Stacks: int64(m.StackInuse), Heap: int64(m.HeapAlloc), Goroutines: runtime.NumGoroutine(),
	})
}

// costProcess is a running cost server.
type costProcess struct {
	t    *testing.T
	addr string
	stop func() // idempotent
}

func startCostServer(t *testing.T) *costProcess {
	if os.Getenv("GAPLESS_BENCH") == "" {
		t.Skip("set GAPLESS_BENCH=1 to measure")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), costServer+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &costProcess{t: t, addr: strings.TrimSpace(addr), stop: stop}
}

// usage is what the server has used; sizes are in bytes.
type usage struct {
	CPU                    time.Duration
	Resident, Stacks, Heap int64
	Goroutines             int
}

func (p *costProcess) usage() (u usage) {
	p.t.Helper()
	response, err := http.Get("http://" + p.addr + "/usage")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&u); err != nil {
		p.t.Fatal(err)
	}
	return u
}

func (p *costProcess) burst(n int) {
	p.t.Helper()
	response, err := http.Post(fmt.Sprintf("http://%s/burst?n=%d", p.addr, n), "", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
}

// open opens n streams and waits until each has received marker.
func (p *costProcess) open(n int, path, marker string) []net.Conn {
	p.t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { _ = conn.Close() })
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		conns[i] = conn
	}
	for _, conn := range conns {
		drain(p.t, conn, marker, 1)
	}
	return conns
}

// drain reads until the marker has come n times.
func drain(t *testing.T, conn net.Conn, marker string, n int) {
	buf := make([]byte, 256<<10)
	kept := 0
	for n > 0 {
		got, err := conn.Read(buf[kept:])
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		text := buf[:kept+got]
		n -= bytes.Count(text, []byte(marker))
		kept = 0
		if n > 0 && len(text) >= len(marker) {
			kept = copy(buf, text[len(text)-len(marker)+1:])
		}
	}
}

// TestFrameCost measures the server's CPU time for one frame to one client,
// against a handler that writes the same bytes in pieces of the same size and
// does nothing else. The two take turns, so that both see the same machine.
func TestFrameCost(t *testing.T) {
	const burst, rounds = 2000, 8
	for _, clients := range []int{100, 1000} {
		var cost [2]time.Duration
		paths := [2]string{"/raw", "/events"}
		for range 3 {
			for i, path := range paths {
				cost[i] += burstCost(t, path, clients, burst, rounds) / 3
			}
		}
		t.Logf("%d clients: %d ns of server CPU a frame, bare %d ns: %.2f times",
			clients, cost[1].Nanoseconds(), cost[0].Nanoseconds(), float64(cost[1])/float64(cost[0]))
	}
}

// burstCost returns the CPU time of a server for one frame to one of the
// clients that follow path.
func burstCost(t *testing.T, path string, clients, burst, rounds int) time.Duration {
	p := startCostServer(t)
	defer p.stop()
	conns := p.open(clients, path, "cdc.live")
	p.burst(burst) // warm up
	drainAll(t, conns, burst)
	before := p.usage().CPU
	for range rounds {
		p.burst(burst)
		drainAll(t, conns, burst)
	}
	cost := (p.usage().CPU - before) / time.Duration(clients*burst*rounds)
	for _, conn := range conns {
		_ = conn.Close()
	}
	return cost
}

func drainAll(t *testing.T, conns []net.Conn, n int) {
	var wait sync.WaitGroup
	for _, conn := range conns {
		wait.Go(func() { drain(t, conn, `data: {"cur`, n) })
	}
	wait.Wait()
}

// TestIdleCost measures the server's memory for one idle stream, as the slope
// between two numbers of streams, against a handler of net/http that does nothing.
func TestIdleCost(t *testing.T) {
	few, many := 1000, 18000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && int(limit.Cur) < many+100 {
		many = int(limit.Cur) - 100
	}
	for path, marker := range map[string]string{"bare": "\r\n\r\n", "events": "cdc.live", "parked": "cdc.live"} {
		t.Run(path, func(t *testing.T) {
			p := startCostServer(t)
			p.burst(100)
			p.open(few, "/"+path, marker)
			before := p.settled()
			p.open(many-few, "/"+path, marker)
			after := p.settled()
			each := func(a, b int64) float64 { return float64(a-b) / float64(many-few) / 1024 }
			t.Logf("%.2f KB for each idle stream from %d to %d; of it stacks %.2f, heap %.2f; goroutines %.1f",
				each(after.Resident, before.Resident), few, many, each(after.Stacks, before.Stacks),
				each(after.Heap, before.Heap), float64(after.Goroutines-before.Goroutines)/float64(many-few))
		})
	}
}

// settled is the usage after some collections.
func (p *costProcess) settled() (u usage) {
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		u = p.usage()
	}
	return u
}

// TestSteadyCost measures the server's CPU time for one frame to one client when
// an event comes now and then.
func TestSteadyCost(t *testing.T) {
	const clients, events, each = 1000, 100, 100 * time.Millisecond
	for range 3 {
		for _, path := range []string{"/events", "/parked"} {
			p := startCostServer(t)
			conns := p.open(clients, path, "cdc.live")
			var wait sync.WaitGroup
			for _, conn := range conns {
				wait.Go(func() { drain(t, conn, `data: {"cur`, events) })
			}
			before := p.usage().CPU
			for range events {
				p.burst(1)
				time.Sleep(each)
			}
			wait.Wait()
			cost := (p.usage().CPU - before) / (clients * events)
			t.Logf("%s: %d ns of server CPU a frame at %v an event to %d clients", path, cost.Nanoseconds(), each, clients)
			p.stop()
		}
	}
}
