// Package control is how the client of benchmarks/beside drives a server that is
// a process of its own. It needs nothing but the standard library, so that a
// server in another module depends on no library that it is compared with.
package control

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"time"
)

// Server is what a process serves.
type Server struct {
	Streams http.Handler
	Path    string // that a client asks for, without the slash at its beginning
	History string // that a client asks for who wants all that is kept; empty: there is none

	// Publish adds events; one goroutine may call it at a time, unless the
	// library is durable.
	Publish func(data ...[]byte) error
}

// Address is what a server prints as JSON.
type Address struct{ Streams, Control, Path, History string }

// Run serves the streams at one address and what measures them at another, and
// prints its Address, until the standard input ends. The control answers, in
// turn and not concurrently,
//
//	GET  /usage?collect=1   Usage
//	POST /publish           publishes the events of a Load and answers how many
//	POST /fill?n=           publishes events, many at once
//	POST /open              publishes an event that is not counted
//	POST /commits?n=        the median time of a publish, ns, with pauses
//	POST /profile?file=     begins to write a CPU profile; without a file it ends
func (s Server) Run() error {
	streams, err := serve(s.Streams)
	if err != nil {
		return err
	}
	control, err := serve(s.control())
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(Address{streams, control, s.Path, s.History}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func serve(h http.Handler) (addr string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), nil
}

func (s Server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, r *http.Request) {
		answer(w, Used(r.FormValue("collect") != ""), nil)
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		var load Load
		err := json.NewDecoder(r.Body).Decode(&load)
		if err != nil {
			answer(w, nil, err)
			return
		}
		n, err := s.publish(load)
		answer(w, n, err)
	})
	mux.HandleFunc("POST /fill", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, s.fill(asked(r, "n")))
	})
	mux.HandleFunc("POST /open", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, nil, s.Publish(Data(Opening, 0, time.Now())))
	})
	mux.HandleFunc("POST /commits", func(w http.ResponseWriter, r *http.Request) {
		took, err := s.commits(asked(r, "n"))
		answer(w, took, err)
	})
	mux.HandleFunc("POST /profile", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, profile(r.FormValue("file")))
	})
	return mux
}

func asked(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name)) // ours alone; without one it is 0
	return n
}

func answer(w http.ResponseWriter, what any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(what)
}

// profile begins a CPU profile, or ends it if name is empty.
func profile(name string) error {
	pprof.StopCPUProfile()
	if name == "" {
		return nil
	}
	file, err := os.Create(name) //nolint:gosec // by who runs the benchmark
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(file) // the file is whole when the profile ends
}
