// Command quickstart keeps an event log in one bbolt file, takes events over
// HTTP and streams them to any number of followers, each of which can resume
// where it was cut.
//
//	quickstart [-addr 127.0.0.1:8080] [-db gapless.db] [-retain 0] [-status] [-demo]
//
//	GET  /         a page that shows the events live
//	GET  /events   the stream (server-sent events; ?after= &topic= &type= &key=)
//	POST /events   append: application/json one event, application/x-ndjson one a line, all or none
//	GET  /healthz  whether the log can be read, and its bounds
//	GET  /openapi.json  all of this in OpenAPI 3.1
//	GET  /status   with -status: charts of the streams, their lag, the last errors
//	     /demo/…   with -demo: buttons on the page that cut its connections and kill the process (internal/demo)
//
// SIGINT and SIGTERM end it within a second with exit code 0; followers are
// told to reconnect. Whoever can reach the address can read and append: it
// listens on loopback unless told otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/examples/quickstart/internal/demo"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/statuspage"
)

// shutdownTime is what open requests get to end after a signal, streams and
// the file included. The rest of the second is for the process to go away.
const shutdownTime = 700 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, demo.ErrChild):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

type config struct {
	addr   string
	db     string
	retain int64
	status bool
	demo   bool
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on")
	flags.StringVar(&c.db, "db", "gapless.db", "bbolt `file` that holds the log; made if it is missing")
	flags.Int64Var(&c.retain, "retain", 0, "`events` to keep, the oldest are removed; 0 keeps all")
	flags.BoolVar(&c.status, "status", false, "serve a status page at /status to everyone who can reach the address")
	flags.BoolVar(&c.demo, "demo", false, "put buttons on the page that cut its connections and kill the server, which is started again; on a loopback address only")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q: all settings are flags, see -h", flags.Arg(0))
	}
	if c.retain < 0 {
		return c, fmt.Errorf("-retain is %d: give a number of events, or 0 to keep all", c.retain)
	}
	return c, nil
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if c.demo && !demo.Supervised() {
		return demo.Supervise(ctx, args, c.addr, stderr)
	}
	if c.demo {
		var cancel context.CancelFunc
		ctx, cancel = demo.WhileSupervised(ctx)
		defer cancel()
	}
	log, err := boltlog.OpenFile(ctx, c.db, "events", nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return errors.Join(listenError(c.addr, err), log.Close())
	}
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return errors.Join(err, listener.Close(), log.Close())
	}
	fmt.Fprintf(stderr, "quickstart: http://%s/ shows the log in %s: epoch %s, seq %d to %d\n",
		listener.Addr(), c.db, bounds.Epoch, bounds.Floor, bounds.Head)
	return serve(ctx, listener, log, c, stderr)
}

func listenError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use: stop what listens there, or give another address with -addr: %w", addr, err)
	}
	return fmt.Errorf("cannot listen on %q: give host:port with -addr: %w", addr, err)
}

// serve owns the listener and the log.
func serve(ctx context.Context, listener net.Listener, log *boltlog.Log, c config, stderr io.Writer) error {
	report := func(err error) { fmt.Fprintln(stderr, "quickstart:", err) }
	stream, err := sse.NewHandler(log, &sse.Options{Retry: time.Second, OnError: report})
	if err != nil {
		return errors.Join(err, listener.Close(), log.Close())
	}
	// Requests that append hang on this context, so that they end with the server.
	requests, endRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	app := newApp(log, stream)
	if c.status {
		app.status = statuspage.New(stream, nil)
	}
	background, endBackground := context.WithCancel(ctx)
	var running sync.WaitGroup
	if c.demo {
		app.demo = demo.New(stream.Hub())
		running.Go(func() { app.demo.Run(background) })
	}
	server := app.server(requests, stream)
	if c.retain > 0 {
		running.Go(func() { // it ends with its context only: the options are right
			_ = cdc.Retain(background, stream.Hub(), &cdc.RetainOptions{MaxEvents: c.retain, Interval: time.Second, OnError: stream.Report})
		})
	}
	failed := make(chan error, 1)
	running.Go(func() { failed <- server.Serve(listener) })

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed: // the listener broke
	}
	ended := make(chan error, 1)
	go func() { //nolint:contextcheck // ctx has ended. Waited for below, but not for ever.
		endBackground()
		err := shutdown(server, stream, func() { endRequests(errShuttingDown) })
		running.Wait()
		ended <- errors.Join(err, log.Close())
	}()
	select {
	case err := <-ended:
		return errors.Join(failure, err)
	case <-time.After(shutdownTime + 100*time.Millisecond):
		// A large commit is being written. The file survives the end of the
		// process at any moment, so there is nothing to wait for.
		return failure
	}
}

func (a *app) server(requests context.Context, stream *sse.Handler) *http.Server {
	server := &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnContext:       stream.ConnContext, // notices peers that vanished
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	if a.demo != nil {
		server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
			return a.demo.ConnContext(stream.ConnContext(ctx, conn), conn)
		}
	}
	return server
}

var errShuttingDown = errors.New("the server is shutting down: send the request again")

// shutdown tells the streams to reconnect and gives other requests a moment.
func shutdown(server *http.Server, stream *sse.Handler, endRequests func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	time.AfterFunc(shutdownTime/2, endRequests)
	drained := make(chan error, 1)
	go func() { drained <- stream.Drain(ctx, 0) }()
	err := errors.Join(server.Shutdown(ctx), <-drained)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // whoever is still there is cut off now
	}
	return errors.Join(err, server.Close(), stream.Close())
}
