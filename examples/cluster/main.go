// Command cluster shows many servers on one log: it starts a private
// redis-server, three server processes that stream one Redis log, a round-robin
// proxy before them, and clients that follow through the proxy while events are
// appended. Every second a server is killed and started again, so that its
// clients come back to another one. In the end it says whether every client got
// every event once and in order.
//
//	cluster [-servers 3] [-clients 200] [-events 10000] [-rate 2000] [-kill 1s]
//
// It needs redis-server in the PATH and ends with exit code 1 if a client missed
// anything. SIGINT ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// logName is the name of the log that all servers share.
const logName = "cluster"

type config struct {
	servers, clients, events, rate int
	kill                           time.Duration
	serve                          string // address of Redis: this process is a server
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var c config
	flag.IntVar(&c.servers, "servers", 3, "server processes")
	flag.IntVar(&c.clients, "clients", 200, "clients that follow")
	flag.IntVar(&c.events, "events", 10_000, "events to append")
	flag.IntVar(&c.rate, "rate", 2000, "events to append a second")
	flag.DurationVar(&c.kill, "kill", time.Second, "time between two kills; 0 kills none")
	flag.StringVar(&c.serve, "serve", "", "be one of the servers, on the Redis at this `address` (used by the command itself)")
	flag.Parse()
	var err error
	if c.serve != "" {
		err = serve(ctx, c.serve, os.Stdin, os.Stdout)
	} else {
		err = run(ctx, c, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts everything and ends all of it.
func run(ctx context.Context, c config, out io.Writer) error {
	if c.servers < 1 || c.clients < 1 || c.events < 1 || c.rate < 1 {
		return errors.New("servers, clients, events and rate must be at least 1")
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()

	redisAddr, err := startRedis(ctx, &group)
	if err != nil {
		return err
	}
	fleet, err := startFleet(ctx, &group, c.servers, redisAddr)
	if err != nil {
		return err
	}
	proxy, err := startProxy(ctx, &group, fleet.next)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "redis at %s, %d servers behind http://%s/events\n", redisAddr, c.servers, proxy)

	began := time.Now()
	results := make(chan clientResult, c.clients)
	for range c.clients {
		group.Go(func() { results <- follow(ctx, "http://"+proxy+"/events", c.events) })
	}
	failed := make(chan error, 1)
	group.Go(func() {
		if err := write(ctx, redisAddr, c); err != nil {
			failed <- err
		}
	})
	if c.kill > 0 {
		group.Go(func() { fleet.killEvery(ctx, c.kill) })
	}
	return report(ctx, c, out, results, failed, fleet, began)
}

// report waits for the clients.
func report(ctx context.Context, c config, out io.Writer, results <-chan clientResult, failed <-chan error, fleet *fleet, began time.Time) error {
	var events, hops, wrong int
	for range c.clients {
		select {
		case r := <-results:
			events += r.events
			hops += r.hops
			if r.err != nil {
				wrong++
				fmt.Fprintln(out, "a client is not exact:", r.err)
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	fmt.Fprintf(out, "%d clients got %d events in %.1f s; servers killed %d times, clients moved %d times\n",
		c.clients, events, time.Since(began).Seconds(), fleet.kills.Load(), hops)
	if wrong > 0 {
		return fmt.Errorf("%d of %d clients are not exact", wrong, c.clients)
	}
	fmt.Fprintln(out, "every client got every event once, in order")
	return nil
}

// write appends at the rate, in small batches. The IDs make a retry safe.
func write(ctx context.Context, addr string, c config) error {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }()
	log, err := redislog.Open(ctx, client, logName, nil)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	const perSecond = 20
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for n := 0; n < c.events; {
		batch := make([]cdc.Event, min(max(c.rate/perSecond, 1), c.events-n))
		for i := range batch {
			n++
			batch[i] = cdc.Event{
				ID: fmt.Sprint("event-", n), Topic: "orders", Type: "order.created", Key: fmt.Sprint(rand.N(1000)),
				Data: fmt.Appendf(nil, `{"n":%d}`, n),
			}
		}
		for {
			_, err = log.Append(ctx, batch...)
			if !errors.Is(err, cdc.ErrUnknownOutcome) {
				break
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
