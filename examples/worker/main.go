// Command worker is an order service: whoever orders gets a mail, and a table
// has what each customer has ordered. A worker does both, in two instances, of
// which one works; kill that with -9, and the other takes over within 5 s.
//
//	worker [-addr 127.0.0.1:8080] [-db shop.db]
//
//	POST /orders     {"id","customer","cents"}: place an order, once for each id
//	GET  /customers  the table
//	GET  /mails      what the customers got
//	POST /mails      is the provider of mails, which knows a mail by its Idempotency-Key
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
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

const instances = 2

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	file := flag.String("db", "shop.db", "SQLite `file`; made if it is missing")
	mails := flag.String("instance", "", "be an instance of the worker, which sends mails to this `URL`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return serve(ctx, *addr, *file) }
	if *mails != "" {
		run = func() error { return instance(ctx, *file, *mails) }
	}
	if err := run(); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// instance works, or waits for its turn, until its standard input ends: the
// process that started it has ended then.
func instance(ctx context.Context, file, mails string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	s, err := openShop(ctx, file)
	if err != nil {
		return err
	}
	defer s.close()
	place, err := s.store.Place(ctx, "workers", nil)
	if err != nil {
		return err
	}
	err = cdc.Consume(ctx, s.log, "orders", place, worker(s.db, provider(mails)), &cdc.ConsumeOptions{
		Start:    cdc.Beginning(),
		OnActive: func(l cdc.Lease) { fmt.Printf("instance %d works, as number %d\n", os.Getpid(), l.Generation) },
		OnError:  func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serve serves orders and mails, and starts the instances.
func serve(ctx context.Context, addr, file string) error {
	s, err := openShop(ctx, file)
	if err != nil {
		return err
	}
	defer s.close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for range instances {
		running.Go(func() {
			err := start(ctx, file, "http://"+listener.Addr().String()+"/mails")
			if ctx.Err() == nil {
				fmt.Println("an instance has ended:", err)
			}
		})
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Printf("serving http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// start runs an instance until ctx ends, and then lets it finish.
func start(ctx context.Context, file, mails string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-db", file, "-instance", mails)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Cancel = stdin.Close
	cmd.WaitDelay = 5 * time.Second
	return cmd.Run()
}
