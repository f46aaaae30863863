package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/internal/testserver"
)

// clusterFaults happen to a cluster of three masters with a replica each.
var clusterFaults = []fault{
	{"cluster: kill -9 of the slot's master", startCluster, maybe, (*campaign).killSlotMaster},
	{"cluster: failover on command", startCluster, maybe, (*campaign).clusterFailover},
	{"cluster: the slot moves to another master", startCluster, nothing, (*campaign).moveSlot},
}

const logKey = "gapless:{x}"

func startCluster(c *campaign) {
	c.servers = testserver.StartRedisCluster(c.t, 3, 1)
	var addrs []string
	for _, s := range c.servers {
		addrs = append(addrs, s.Addr)
	}
	c.connect = func(int) redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: addrs, ReadTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond,
		})
	}
	c.master = c.slotMaster(nil)
	c.awaitClusterReplicas()
}

// slotMaster returns the server that says that it has the log's slot, other than
// the one given; nil if none does.
func (c *campaign) slotMaster(but *testserver.Redis) *testserver.Redis {
	for _, s := range c.servers {
		// Any other server says MOVED.
		err := c.admin(s, "HGET", logKey, "head")
		if s != but && (err == nil || errors.Is(err, redis.Nil)) {
			return s
		}
	}
	return nil
}

// other returns a server that is not the one given.
func (c *campaign) other(but *testserver.Redis) *testserver.Redis {
	return c.servers[(slices.Index(c.servers, but)+1)%len(c.servers)]
}

// slotTaken reports whether a server other than the one given has the log's
// slot, and takes it as the master.
func (c *campaign) slotTaken(but *testserver.Redis) bool {
	master := c.slotMaster(but)
	if master != nil {
		c.master = master
	}
	return master != nil
}

// awaitClusterReplicas returns when the cluster is well and each replica has its
// master.
func (c *campaign) awaitClusterReplicas() {
	c.t.Helper()
	c.await("the cluster to be well", func() bool {
		masters := 0
		for _, s := range c.servers {
			role := c.ask(s, "ROLE")
			if strings.HasPrefix(role, "[master") {
				masters++
			} else if !strings.Contains(role, "connected") {
				return false
			}
			if !strings.Contains(c.ask(s, "CLUSTER", "INFO"), "cluster_state:ok") || strings.Contains(c.ask(s, "CLUSTER", "NODES"), "fail") {
				return false
			}
		}
		return masters == 3
	})
}

func (c *campaign) killSlotMaster() {
	old := c.master
	old.Kill()
	c.await("another master of the slot", func() bool { return c.slotTaken(old) })
	old.Restart()
	c.awaitClusterReplicas()
}

// clusterFailover insists, because Redis says OK at once and gives up when the
// replica has not caught up within five seconds.
func (c *campaign) clusterFailover() {
	old := c.master
	id := c.ask(old, "CLUSTER", "MYID")
	c.insist("another master of the slot", 6*time.Second, func() {
		if replica := c.replicaOf(id); replica != nil {
			if err := c.admin(replica, "CLUSTER", "FAILOVER"); err != nil {
				c.t.Log("CLUSTER FAILOVER: ", err)
			}
		}
	}, func() bool { return c.slotTaken(old) })
	c.awaitClusterReplicas()
}

// replicaOf returns a replica of the node, nil if none says that it is.
func (c *campaign) replicaOf(id string) *testserver.Redis {
	for _, s := range c.servers {
		for line := range strings.Lines(c.ask(s, "CLUSTER", "NODES")) {
			if f := strings.Fields(line); strings.Contains(line, "myself,slave") && f[3] == id {
				return s
			}
		}
	}
	return nil
}

// moveSlot moves the log's slot with its keys to the next master.
func (c *campaign) moveSlot() {
	from := c.master
	to := c.other(from)
	for !strings.HasPrefix(c.ask(to, "ROLE"), "[master") {
		to = c.other(to)
	}
	slot := c.ask(from, "CLUSTER", "KEYSLOT", logKey)
	step := func(s *testserver.Redis, args ...any) {
		if err := c.admin(s, args...); err != nil {
			c.t.Fatalf("%v: %v", args, err)
		}
	}
	idFrom, idTo := c.ask(from, "CLUSTER", "MYID"), c.ask(to, "CLUSTER", "MYID")
	step(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", idFrom)
	step(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", idTo)
	for _, key := range c.keys(from, slot) {
		step(from, "MIGRATE", "127.0.0.1", to.Port(), key, 0, 5000)
		pause(0, 30) // a part of the keys is here, a part there
	}
	step(to, "CLUSTER", "SETSLOT", slot, "NODE", idTo)
	step(from, "CLUSTER", "SETSLOT", slot, "NODE", idTo)
	c.master = to
}

func (c *campaign) keys(s *testserver.Redis, slot string) []string {
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer func() { _ = client.Close() }()
	keys, err := client.Do(context.Background(), "CLUSTER", "GETKEYSINSLOT", slot, 100).StringSlice()
	if err != nil {
		c.t.Fatal(err)
	}
	return keys
}

// ask returns the reply as text, nothing for an error.
func (c *campaign) ask(s *testserver.Redis, args ...any) string {
	client := redis.NewClient(&redis.Options{Addr: s.Addr, DialTimeout: 300 * time.Millisecond, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	reply, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		return ""
	}
	return fmt.Sprint(reply)
}
