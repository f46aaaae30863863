// Command natscluster shows many servers on one log that outlives a machine: it
// starts three nodes of NATS with JetStream, three server processes that stream
// one log of three replicas, a round-robin proxy before them, and clients that
// follow through the proxy while events are appended. Every second a server is
// killed and started again, every five seconds a node. In the end it says whether
// every client got every event once and in order.
//
//	natscluster [-servers 3] [-clients 200] [-events 10000] [-rate 2000] [-kill 1s] [-killnode 5s]
//
// It needs nothing installed: a node is this program with nats-server embedded. It
// ends with exit code 1 if a client missed anything. SIGINT ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/gapless-go/gapless/examples/internal/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var c cluster.Config
	c.Flags()
	killNode := flag.Duration("killnode", 5*time.Second, "time between two kills of a node; 0 kills none")
	addr := flag.String("serve", "", "be one of the servers, on the nodes at this `address` (used by the command itself)")
	node := flag.String("node", "", "be the node with this `configuration` (used by the command itself)")
	flag.Parse()
	var err error
	switch {
	case *node != "":
		err = beNode(*node)
	case *addr != "":
		err = cluster.Serve(ctx, openLog, *addr)
	default:
		err = run(ctx, c, *killNode)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "natscluster:", err)
		os.Exit(1)
	}
}

// run starts everything and ends all of it.
func run(ctx context.Context, c cluster.Config, killNode time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "gapless-natscluster-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	nodes, addr, err := startNodes(ctx, &group, dir)
	if err != nil {
		return err
	}
	log, err := openLog(ctx, addr) // the first one makes the stream, once there is a leader
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	if killNode > 0 {
		group.Go(func() { nodes.KillEvery(ctx, killNode) })
	}
	if err := cluster.Run(ctx, c, openLog, addr, os.Stdout); err != nil {
		return err
	}
	fmt.Printf("nodes killed %d times\n", nodes.Kills())
	return nil
}
