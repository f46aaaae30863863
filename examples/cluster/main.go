// Command cluster shows many servers on one log: it starts a private
// redis-server, three server processes that stream one Redis log, a round-robin
// proxy before them, and clients that follow through the proxy while events are
// appended. Every second a server is killed and started again, so that its
// clients come back to another one. In the end it says whether every client got
// every event once and in order. Command natscluster does the same on three nodes
// of NATS.
//
//	cluster [-servers 3] [-clients 200] [-events 10000] [-rate 2000] [-kill 1s]
//
// It needs redis-server in the PATH and ends with exit code 1 if a client missed
// anything. SIGINT ends it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"github.com/gapless-go/gapless/examples/internal/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var c cluster.Config
	c.Flags()
	addr := flag.String("serve", "", "be one of the servers, on the Redis at this `address` (used by the command itself)")
	flag.Parse()
	var err error
	if *addr != "" {
		err = cluster.Serve(ctx, openLog, *addr)
	} else {
		err = run(ctx, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts everything and ends all of it.
func run(ctx context.Context, c cluster.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	addr, err := startRedis(ctx, &group)
	if err != nil {
		return err
	}
	return cluster.Run(ctx, c, openLog, addr, os.Stdout)
}
