package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// TestSoakFaults appends and follows through two handles while the server and
// the network fail, and then judges what every follower saw: without a reset it
// is exactly the log, and a reset is legal only for faults that lose events.
// Every fault happens once, 50 times each with GAPLESS_SOAK set, which also
// writes docs/results/redis-faults.md.
func TestSoakFaults(t *testing.T) {
	rounds := 1
	if os.Getenv("GAPLESS_SOAK") != "" {
		rounds = 50
	}
	var table strings.Builder
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			began := time.Now()
			c := startCampaign(t)
			for range rounds {
				c.busy(20)
				f.do(c)
			}
			r := c.judge(f.loses)
			fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d | %d | %.0f |\n", f.name, rounds,
				r.acknowledged, r.unknown, r.delivered, r.resets, r.silent, time.Since(began).Seconds())
			t.Logf("%+v", r)
		})
	}
	if rounds > 1 && !t.Failed() {
		writeResults(t, table.String())
	}
}

func writeResults(t *testing.T, table string) {
	t.Helper()
	dir := filepath.Join("..", "..", "docs", "results")
	text := "# Redis: faults\n\nWritten by `TestSoakFaults`: two handles with a Hub each, " + fmt.Sprint(followersPerHub) +
		" followers on each Hub, two writers that retry with the same ID.\nA reset is legal only where the fault loses acknowledged events.\n\n" +
		"| Fault | times | acknowledged | lost replies | events delivered | resets | silent losses | seconds |\n|---|---|---|---|---|---|---|---|\n" + table
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "redis-faults.md"), []byte(text), 0o644)); err != nil {
		t.Error(err)
	}
}

// faults end with a server that works.
var faults = []struct {
	name  string
	loses bool
	do    func(*campaign)
}{
	{"kill -9, appendfsync always", false, func(c *campaign) { c.master.Kill(); c.master.Restart() }},
	{"kill -9, nothing kept", true, func(c *campaign) { c.master.Kill(); c.master.Wipe(); c.master.Restart() }},
	{"kill -9, older snapshot kept", true, (*campaign).olderSnapshot},
	{"SIGSTOP", false, func(c *campaign) { c.master.Stop(); pause(150, 900); c.master.Cont() }},
	{"CLIENT KILL", false, func(c *campaign) {
		_ = c.admin(c.master, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") // the next one will
	}},
	{"network cut", false, func(c *campaign) { c.proxy.Cut(); pause(0, 50) }},
	{"network silent", false, func(c *campaign) { c.proxy.Freeze(); pause(150, 900); c.proxy.Thaw() }},
	{"network silent, then cut", false, func(c *campaign) { c.proxy.Freeze(); pause(50, 300); c.proxy.Cut(); c.proxy.Thaw() }},
	{"slow link", false, func(c *campaign) { c.proxy.Delay(20 * time.Millisecond); pause(200, 400); c.proxy.Delay(0) }},
	{"failover to a lagging replica", true, (*campaign).failover},
	{"SCRIPT FLUSH", false, func(c *campaign) { _ = c.admin(c.master, "SCRIPT", "FLUSH") }},
}

func pause(from, to int) {
	time.Sleep(time.Duration(from+rand.IntN(to-from)) * time.Millisecond)
}

const followersPerHub = 4

// campaign is a system under faults.
type campaign struct {
	t       *testing.T
	master  *testserver.Redis
	replica *testserver.Redis // started by the first failover
	proxy   *testserver.RedisProxy
	logs    []*redislog.Log
	hubs    []*cdc.Hub

	ctx       context.Context
	cancel    context.CancelFunc
	writers   sync.WaitGroup
	readers   sync.WaitGroup
	stop      chan struct{} // closed: writers end
	appended  atomic.Int64
	unknown   atomic.Int64
	history   verify.History
	followers []*campaignFollower
}

func startCampaign(t *testing.T) *campaign {
	t.Helper()
	c := &campaign{t: t, stop: make(chan struct{})}
	c.master = testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	c.proxy = testserver.StartRedisProxy(t, c.master.Addr)
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range 2 {
		client := redis.NewClient(&redis.Options{
			Addr: c.proxy.Addr, ReadTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond, DialerRetries: 1,
		})
		log, err := redislog.Open(t.Context(), client, "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		hub := cdc.NewHub(log, nil)
		c.logs, c.hubs = append(c.logs, log), append(c.hubs, hub)
		t.Cleanup(func() { _, _, _ = hub.Close(), log.Close(), client.Close() })
		c.writers.Go(func() { c.write(i, log) })
	}
	for i := range followersPerHub * len(c.hubs) {
		f := &campaignFollower{campaign: c, name: fmt.Sprint("follower ", i), at: i}
		c.followers = append(c.followers, f)
		c.readers.Go(f.run)
	}
	t.Cleanup(func() { c.cancel(); c.writers.Wait(); c.readers.Wait() })
	return c
}

// write appends events with IDs, each until its outcome is known.
func (c *campaign) write(writer int, log *redislog.Log) {
	for n := 0; ; n++ {
		select {
		case <-c.stop:
			return
		case <-c.ctx.Done():
			return
		default:
		}
		e := cdc.Event{ID: fmt.Sprintf("w%d-%d", writer, n), Type: "n", Data: fmt.Append(nil, n)}
		a := verify.Append{Begin: c.history.Tick()}
		r, err := log.Append(c.ctx, e)
		for ; err != nil && c.ctx.Err() == nil; r, err = log.Append(c.ctx, e) {
			if errors.Is(err, cdc.ErrUnknownOutcome) {
				c.unknown.Add(1)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return
		}
		a.End, a.Epoch, a.Outcome = c.history.Tick(), r.Epoch, verify.Acknowledged
		a.Records = []verify.Record{{Seq: r.Seqs[0], ID: e.ID}}
		c.history.Append(a)
		c.appended.Add(1)
		time.Sleep(time.Millisecond)
	}
}

// busy waits until n more events were appended.
func (c *campaign) busy(n int64) {
	c.t.Helper()
	want := c.appended.Load() + n
	for deadline := time.Now().Add(60 * time.Second); c.appended.Load() < want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal("nothing could be appended for a minute: the log did not come back")
		}
	}
}

func (c *campaign) admin(server *testserver.Redis, args ...any) error {
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer func() { _ = client.Close() }()
	return client.Do(context.Background(), args...).Err()
}

// olderSnapshot loses what came after a snapshot.
func (c *campaign) olderSnapshot() {
	if err := errors.Join(c.admin(c.master, "CONFIG", "SET", "appendonly", "no"), c.admin(c.master, "SAVE")); err != nil {
		c.t.Fatal(err)
	}
	c.busy(10)
	c.master.Kill()
	// Started without the append-only file, it loads the snapshot.
	_ = os.RemoveAll(filepath.Join(c.master.Dir, "appendonlydir"))
	c.master.Restart("--appendonly", "no")
}

// failover promotes a replica that lacks what came last. The old master becomes
// the replica.
func (c *campaign) failover() {
	if c.replica == nil {
		c.replica = testserver.StartReplica(c.t, c.master, "--appendonly", "yes", "--appendfsync", "always")
	}
	c.replica.WaitInfo("replication", "master_link_status:up")
	c.busy(10)
	if err := c.admin(c.replica, "REPLICAOF", "NO", "ONE"); err != nil {
		c.t.Fatal(err)
	}
	c.busy(int64(5 + rand.IntN(20)))
	c.proxy.Point(c.replica.Addr)
	c.proxy.Cut()
	c.master, c.replica = c.replica, c.master
	if err := c.admin(c.replica, "REPLICAOF", "127.0.0.1", fmt.Sprint(c.master.Port())); err != nil {
		c.t.Fatal(err)
	}
}
