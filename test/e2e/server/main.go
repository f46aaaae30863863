// Command server is the quickstart's stream over TLS, with HTTP/2 and HTTP/1.1,
// or without TLS, and compressed or not: a log in a bbolt file, POST /events to
// append NDJSON, GET /events to follow, SIGTERM to drain.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	"github.com/gapless-go/gapless/transport/sse"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`host:port` to listen on")
	db := flag.String("db", "gapless.db", "bbolt `file` that holds the log")
	compress := flag.Bool("compress", false, "send gzip to clients that take it")
	cert := flag.String("cert", "", "certificate `file`; empty: no TLS")
	key := flag.String("key", "", "key `file`")
	flag.Parse()
	if err := run(*addr, *db, *cert, *key, *compress); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(addr, db, cert, key string, compress bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := boltlog.OpenFile(ctx, db, "events", nil)
	if err != nil {
		return err
	}
	stream, err := sse.NewHandler(log, &sse.Options{Retry: time.Second, Limits: sse.Limits{Compress: compress}})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) { appendAll(w, r, log) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		stream.ServeHTTP(&noted{w, r}, r)
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	server.RegisterOnShutdown(func() { _ = stream.Close() }) // ends within its grace
	ended := make(chan error, 1)
	go func() {
		if cert == "" {
			ended <- server.ListenAndServe()
		} else {
			ended <- server.ListenAndServeTLS(cert, key)
		}
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err = server.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
	}
	return errors.Join(err, stream.Close(), log.Close())
}

// noted is a response of which the test reads what the client speaks.
type noted struct {
	http.ResponseWriter
	r *http.Request
}

func (w *noted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *noted) WriteHeader(status int) {
	fmt.Fprintf(os.Stderr, "%s %s %s\n", w.r.URL.Query().Get("client"), w.r.Proto, w.Header().Get("Content-Encoding"))
	w.ResponseWriter.WriteHeader(status)
}

// appendAll appends the events of an NDJSON body, all or none.
func appendAll(w http.ResponseWriter, r *http.Request, log *boltlog.Log) {
	var events []cdc.Event
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var in struct {
			ID, Topic, Type, Key string
			Data                 json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		events = append(events, cdc.Event{ID: in.ID, Topic: in.Topic, Type: in.Type, Key: in.Key, Data: in.Data})
	}
	if err := lines.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	receipt, err := log.Append(r.Context(), events...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"cursor": receipt.Cursor()}) // the client asks again if it got nothing
}
