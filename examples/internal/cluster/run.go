package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Config says how much there is of everything.
type Config struct {
	Servers, Clients int
	Events, Rate     int           // in all; a second
	Kill             time.Duration // between two kills of a server; 0 kills none
}

// Flags are the flags of the config, and their defaults.
func (c *Config) Flags() {
	flag.IntVar(&c.Servers, "servers", 3, "server processes")
	flag.IntVar(&c.Clients, "clients", 200, "clients that follow")
	flag.IntVar(&c.Events, "events", 10_000, "events to append")
	flag.IntVar(&c.Rate, "rate", 2000, "events to append a second")
	flag.DurationVar(&c.Kill, "kill", time.Second, "time between two kills of a server; 0 kills none")
}

func (c *Config) check() error {
	if c.Servers < 1 || c.Clients < 1 || c.Events < 1 || c.Rate < 1 {
		return errors.New("servers, clients, events and rate must be at least 1")
	}
	return nil
}

// Run starts the servers, the proxy, the writer and the clients on the store at
// the address, and says in out what the clients got. Its error says that one of
// them missed something. A server is this program with -serve and the address.
func Run(ctx context.Context, c Config, open Open, addr string, out io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()

	servers, err := StartFleet(ctx, &group, c.Servers, func(int) []string { return []string{"-serve", addr} })
	if err != nil {
		return err
	}
	proxy, err := startProxy(ctx, &group, servers.next)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "store at %s, %d servers behind http://%s/events\n", addr, c.Servers, proxy)

	began := time.Now()
	results := make(chan clientResult, c.Clients)
	for range c.Clients {
		group.Go(func() { results <- follow(ctx, "http://"+proxy+"/events", c.Events) })
	}
	failed := make(chan error, 1)
	group.Go(func() {
		if err := write(ctx, open, addr, c); err != nil {
			failed <- err
		}
	})
	if c.Kill > 0 {
		group.Go(func() { servers.KillEvery(ctx, c.Kill) })
	}
	return report(ctx, c, out, results, failed, servers, began)
}

// report waits for the clients.
func report(ctx context.Context, c Config, out io.Writer, results <-chan clientResult, failed <-chan error, servers *Fleet, began time.Time) error {
	var events, hops, wrong int
	for range c.Clients {
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
		c.Clients, events, time.Since(began).Seconds(), servers.Kills(), hops)
	if wrong > 0 {
		return fmt.Errorf("%d of %d clients are not exact", wrong, c.Clients)
	}
	fmt.Fprintln(out, "every client got every event once, in order")
	return nil
}

// write appends at the rate, in small batches.
func write(ctx context.Context, open Open, addr string, c Config) error {
	log, err := open(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	const perSecond = 20
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for n := 0; n < c.Events; {
		batch := make([]cdc.Event, min(max(c.Rate/perSecond, 1), c.Events-n))
		for i := range batch {
			n++
			batch[i] = cdc.Event{
				ID: fmt.Sprint("event-", n), Topic: "orders", Type: "order.created", Key: fmt.Sprint(rand.N(1000)),
				Data: fmt.Appendf(nil, `{"n":%d}`, n),
			}
		}
		if err := appendSurely(ctx, log, batch); err != nil {
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

// patience is how long the store may be away.
const patience = time.Minute

// appendSurely tries again until the events are in the log. The IDs make that
// safe.
func appendSurely(ctx context.Context, log Log, batch []cdc.Event) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		_, err := log.Append(ctx, batch...)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > patience {
			return err
		}
	}
}
