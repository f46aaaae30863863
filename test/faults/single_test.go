package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/internal/testserver"
)

// serverFaults happen to one server, or to a master with one replica that is
// promoted by hand.
var serverFaults = []fault{
	{"kill -9, appendfsync always", startSingle, nothing, func(c *campaign) { c.master.Kill(); c.master.Restart() }},
	{"SIGSTOP", startSingle, nothing, func(c *campaign) { c.master.Stop(); pause(150, 900); c.master.Cont() }},
	{"CLIENT KILL", startSingle, nothing, func(c *campaign) {
		_ = c.admin(c.master, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") // the next one will
	}},
	{"SCRIPT FLUSH", startSingle, nothing, func(c *campaign) { _ = c.admin(c.master, "SCRIPT", "FLUSH") }},
	{"kill -9, appendfsync everysec", startEverysec, maybe, func(c *campaign) { c.master.Kill(); c.master.Restart() }},
	{"kill -9, nothing kept", startSingle, surely, func(c *campaign) { c.master.Kill(); c.master.Wipe(); c.master.Restart() }},
	{"kill -9, older snapshot kept", startSingle, surely, (*campaign).olderSnapshot},
	{"failover to a lagging replica", startPair, surely, (*campaign).failover},
	{"two masters, a handle on each", startPair, surely, (*campaign).twoMasters},
}

func sameStart(a, b fault) bool {
	return reflect.ValueOf(a.start).Pointer() == reflect.ValueOf(b.start).Pointer()
}

// startSingle starts a server that keeps everything.
func startSingle(c *campaign) { c.startServer("always") }

// startEverysec starts one that may lose what came last even if only the process
// is killed: while a sync is under way, Redis replies before it writes.
func startEverysec(c *campaign) { c.startServer("everysec") }

func (c *campaign) startServer(fsync string) {
	c.master = testserver.StartRedis(c.t, "--appendonly", "yes", "--appendfsync", fsync)
	c.link = newLink(c.t, c.master.Addr)
	for i := range c.route {
		c.route[i].Store(c.link)
	}
	c.connect = func(handle int) redis.UniversalClient {
		return redis.NewClient(&redis.Options{
			Addr: "by the dialer", ReadTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond, DialerRetries: 1,
			Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.route[handle].Load().dial(ctx) },
		})
	}
}

// startPair adds a replica with a link of its own.
func startPair(c *campaign) {
	startSingle(c)
	c.replica = testserver.StartReplica(c.t, c.master, "--appendonly", "yes", "--appendfsync", "always")
	c.replicaLink = newLink(c.t, c.replica.Addr)
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

// detach makes a second master of the replica.
func (c *campaign) detach() {
	c.replica.WaitInfo("replication", "master_port:"+fmt.Sprint(c.master.Port()))
	c.replica.WaitInfo("replication", "master_link_status:up")
	c.busy(10)
	if err := c.admin(c.replica, "REPLICAOF", "NO", "ONE"); err != nil {
		c.t.Fatal(err)
	}
}

// swap brings every handle to the second master. The first becomes its replica.
func (c *campaign) swap() {
	for i := range c.route {
		c.route[i].Store(c.replicaLink)
	}
	c.link.cut()
	c.master, c.replica = c.replica, c.master
	c.link, c.replicaLink = c.replicaLink, c.link
	if err := c.admin(c.replica, "REPLICAOF", "127.0.0.1", fmt.Sprint(c.master.Port())); err != nil {
		c.t.Fatal(err)
	}
}

// failover promotes a replica that lacks what came last.
func (c *campaign) failover() {
	c.detach()
	c.busy(int64(5 + rand.IntN(20)))
	c.swap()
}

// twoMasters lets the handles append to two masters for a while; one remains.
func (c *campaign) twoMasters() {
	c.detach()
	c.route[1].Store(c.replicaLink)
	c.link.cut()
	c.busyOn(0, int64(5+rand.IntN(20)))
	c.busyOn(1, int64(5+rand.IntN(20)))
	c.swap()
}
