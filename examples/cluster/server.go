package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	redislog "github.com/gapless-go/gapless/source/redis"
	"github.com/gapless-go/gapless/transport/sse"
)

// serve is one server process: it streams the log over HTTP until stdin ends,
// which is when the process that started it has ended. Its first line is the
// address.
func serve(ctx context.Context, redisAddr string, stdin io.Reader, stdout io.Writer) error {
	client := redis.NewClient(&redis.Options{Addr: redisAddr})
	defer func() { _ = client.Close() }()
	log, err := redislog.Open(ctx, client, logName, nil)
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
		_, _ = io.Copy(io.Discard, stdin) // any end of it is the end
		_ = server.Close()
	}()
	fmt.Fprintln(stdout, listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
