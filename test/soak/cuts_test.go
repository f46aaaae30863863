package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// writeAll appends total events by several writers in posts of up to 200 and
// returns when all are acknowledged. A post that failed is made again: its
// events have IDs.
func writeAll(ctx context.Context, s *server, h *verify.History, writers, total int) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for ctx.Err() == nil {
				n := 1 + rand.IntN(200)
				first := int(next.Add(int64(n))) - n
				var lines []string
				batch := verify.Append{Outcome: verify.Acknowledged}
				for i := first; i < min(first+n, total); i++ {
					lines = append(lines, fmt.Sprintf(`{"id":"e%d","topic":"soak","type":"tick","key":"%d","data":{"n":%d,"pad":%q}}`,
						i, i%100, i, strings.Repeat("x", rand.IntN(200))))
					batch.Records = append(batch.Records, verify.Record{ID: fmt.Sprintf("e%d", i)})
				}
				if lines == nil {
					return
				}
				batch.Begin = h.Tick()
				for s.post(ctx, lines) != nil {
					if ctx.Err() != nil {
						return
					}
					time.Sleep(50 * time.Millisecond) // the server may be down
				}
				batch.End = h.Tick()
				h.Append(batch)
			}
		})
	}
	group.Wait()
}

// followAll has the client follow, cut at random bytes and resuming, until it
// has seen the last seq.
func (c *client) followAll(ctx context.Context, maxCut int64, last uint64) {
	enough := func() bool { return c.pos >= last }
	for ctx.Err() == nil && !enough() {
		_ = c.connect(ctx, 1+rand.Int64N(maxCut), enough) // the next connection goes on from what was taken
	}
}

// Clients join at random moments, are cut at random bytes and resume by
// Last-Event-ID while writers append: each ends with exactly the log from its
// start. With kills, the server is killed with SIGKILL meanwhile, too.
func TestCutClients(t *testing.T) {
	for name, kills := range map[string]int{"cuts": 0, "cuts and kills": pick(2, 30)} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "-race")
			total, clients := pick(2000, 100_000), pick(6, 50)
			ctx, cancel := context.WithTimeout(t.Context(), pick(2*time.Minute, 20*time.Minute))
			defer cancel()

			history := new(verify.History)
			var group sync.WaitGroup
			all := make([]*client, clients)
			for i := range all {
				start := []string{"beginning", "latest", "0"}[i%3]
				c := newClient(s, history, fmt.Sprintf("%d from %s", i, start), start)
				all[i] = c
				group.Go(func() {
					time.Sleep(rand.N(pick(time.Second, 10*time.Second)))
					c.followAll(ctx, 1<<(14+i%8), uint64(total)) // seqs are dense, and a post that is made again adds nothing
				})
			}
			stop := killAtRandom(s, kills)
			epoch := epochOf(ctx, t, s)
			began := time.Now()
			writeAll(ctx, s, history, 8, total)
			wrote := time.Since(began)
			n := stop()
			group.Wait()

			log, err := readLog(ctx, s, history, uint64(total))
			if err != nil {
				t.Fatal(err)
			}
			if log.events != total || log.from.Epoch != epoch {
				t.Errorf("the log has %d events in epoch %s, want %d in %s", log.events, log.from.Epoch, total, epoch)
			}
			seen := 0
			for _, c := range all {
				if c.resets > 0 || c.pos != uint64(total) {
					t.Errorf("client %s ended at %d with %d resets", c.seen.Name, c.pos, c.resets)
				}
				seen += c.events
			}
			judge(t, history)
			t.Logf("%d events by 8 writers in %v, %d kills, %d clients saw %d events", total, wrote.Round(time.Millisecond), n, clients, seen)
		})
	}
}

// killAtRandom kills and starts the server up to n times; stop returns how often
// it did.
func killAtRandom(s *server, n int) (stop func() int) {
	stopped, killed := make(chan struct{}), make(chan int)
	go func() {
		done := 0
		defer func() { killed <- done }()
		for done < n {
			select {
			case <-stopped:
				return
			case <-time.After(rand.N(pick(500*time.Millisecond, 2*time.Second))):
				s.stop(syscall.SIGKILL)
				s.start()
				done++
			}
		}
	}()
	return func() int {
		close(stopped)
		return <-killed
	}
}

func epochOf(ctx context.Context, t *testing.T, s *server) string {
	t.Helper()
	for ctx.Err() == nil {
		c := newClient(s, new(verify.History), "epoch", "latest")
		if err := c.connect(ctx, 1<<20, func() bool { return c.from.Epoch != "" }); err == nil {
			return c.from.Epoch
		}
	}
	t.Fatal("no hello")
	return ""
}
