package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// Log is what a store has to offer. Close also ends the connection that was made
// for it.
type Log interface {
	cdc.Log
	cdc.Appender
	io.Closer
}

// Open opens the log on the store at the address.
type Open func(ctx context.Context, addr string) (Log, error)

// Serve is one server process: it streams the log over HTTP until
// stdin ends, which is when the process that started it has ended. Its first line
// is the address.
func Serve(ctx context.Context, open Open, addr string) error {
	log, err := open(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	stream, err := sse.NewHandler(log, &sse.Options{Retry: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() //nolint:contextcheck // it ends the streams, whatever ctx is
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", stream)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		AwaitParent()
		_ = server.Close()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// AwaitParent returns when the process that started this one has ended: that
// closes stdin.
func AwaitParent() { _, _ = io.Copy(io.Discard, os.Stdin) }
