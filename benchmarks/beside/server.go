package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
)

// serverCommand is the argument that makes this program a server, followed by
// the name of a library.
const serverCommand = "server"

// keep is more events than any turn publishes.
const keep = 50_000

// runServer serves the streams of the library at one address and what measures
// it at another, which it prints, until its standard input ends.
func runServer(name string) error {
	n := slices.IndexFunc(libraries(), func(l peers.Library) bool { return l.Name == name })
	if n < 0 {
		return fmt.Errorf("there is no library %q", name)
	}
	dir, err := os.MkdirTemp("", "beside")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := libraries()[n].Open(dir, keep)
	if err != nil {
		return err
	}
	streams, err := serve(server)
	if err != nil {
		return err
	}
	control, err := serve(newControl(server))
	if err != nil {
		return err
	}
	fmt.Println(streams, control, server.Path)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func serve(h http.Handler) (addr string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(listener) }()
	return listener.Addr().String(), nil
}

// usage is what a server has used.
type usage struct {
	CPU      time.Duration
	Mallocs  uint64
	Resident int64 // bytes of its own memory, after a collection if that was asked for
}

// newControl answers, in turn and not concurrently,
//
//	GET  /usage?collect=1         usage
//	POST /publish?n=&from=&rate=  publishes events; rate is a second, 0 is at once
//	POST /open                    publishes an event that is not counted
//	POST /commits?n=              the median time of a publish, ns, with pauses
func newControl(s *peers.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(used(r.FormValue("collect") != ""))
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		answer(w, publish(s, number(r, "from"), number(r, "n"), number(r, "rate")))
	})
	mux.HandleFunc("POST /open", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Publish(peers.Data(peers.Opening, 0, time.Now())))
	})
	mux.HandleFunc("POST /commits", func(w http.ResponseWriter, r *http.Request) {
		took := make([]time.Duration, number(r, "n"))
		for i := range took {
			data := peers.Data(peers.Opening, i, time.Now())
			began := time.Now()
			err := s.Publish(data)
			if took[i] = time.Since(began); err != nil {
				answer(w, err)
				return
			}
			time.Sleep(100 * time.Millisecond) // the followers wait again
		}
		_ = json.NewEncoder(w).Encode(median(took))
	})
	return mux
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name)) // ours alone; without one it is 0
	return n
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func publish(s *peers.Server, from, n, rate int) error {
	begin := time.Now()
	for i := range n {
		if rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		if err := s.Publish(peers.Data(peers.Marker, from+i, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

func used(collect bool) (u usage) {
	if collect {
		for range 3 { // stacks shrink step by step
			runtime.GC()
		}
		debug.FreeOSMemory()
	}
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs = m.Mallocs
	// statm lags behind by some MB.
	rollup, _ := os.ReadFile("/proc/self/smaps_rollup")
	if _, rest, ok := strings.Cut(string(rollup), "Anonymous:"); ok {
		kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		u.Resident = kb << 10
	}
	return u
}
