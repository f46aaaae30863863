package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// sentinelFaults happen to a master with two replicas and three sentinels. What
// was acknowledged by the master alone may be lost.
var sentinelFaults = []fault{
	{"Sentinel: kill -9 of the master", startSentinel, maybe, (*campaign).killMaster},
	{"Sentinel: kill -9 of the master, MinReplicas 1", startSentinelWait, maybe, (*campaign).killMaster},
	{"Sentinel: failover on command", startSentinel, maybe, (*campaign).sentinelFailover},
	{"Sentinel: the old master comes back as a second one", startSentinel, maybe, (*campaign).stopMaster},
}

func startSentinel(c *campaign) {
	args := []string{"--appendonly", "yes", "--appendfsync", "always"}
	c.master = testserver.StartRedis(c.t, args...)
	c.servers = []*testserver.Redis{c.master, testserver.StartReplica(c.t, c.master, args...), testserver.StartReplica(c.t, c.master, args...)}
	c.sentinels = testserver.StartSentinels(c.t, "main", c.master, 3, 2)
	var addrs []string
	for _, s := range c.sentinels {
		addrs = append(addrs, s.Addr)
	}
	c.connect = func(int) redis.UniversalClient {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "main", SentinelAddrs: addrs,
			ReadTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond, DialerRetries: 1,
		})
	}
}

func startSentinelWait(c *campaign) {
	startSentinel(c)
	c.options = &redislog.Options{MinReplicas: 1, ReplicaTimeout: time.Second}
}

// killMaster lets Sentinel promote a replica and starts the old master again as
// a replica.
func (c *campaign) killMaster() {
	old := c.master
	old.Kill()
	c.awaitPromotion()
	old.Restart("--replicaof", fmt.Sprint("127.0.0.1 ", c.master.Port()))
	c.awaitReplicas()
}

// sentinelFailover insists, because Sentinel gives a failover up when its replica
// is not promoted in time.
func (c *campaign) sentinelFailover() {
	old := c.master
	c.insist("another master", 15*time.Second, func() {
		_ = c.admin(c.sentinels[0], "SENTINEL", "FAILOVER", "main") // refused while one is under way
	}, func() bool { return c.succeeded(old) })
	c.awaitReplicas()
}

// stopMaster stops the master until Sentinel has promoted a replica; then there
// are two. Sentinel would demote the old one after some ten seconds.
func (c *campaign) stopMaster() {
	old := c.master
	old.Stop()
	c.awaitPromotion()
	old.Cont()
	pause(100, 1500)
	_ = c.admin(old, "REPLICAOF", "127.0.0.1", fmt.Sprint(c.master.Port()))
	c.awaitReplicas()
}

// awaitPromotion returns when all sentinels name another master.
func (c *campaign) awaitPromotion() {
	c.t.Helper()
	old := c.master
	c.await("another master", func() bool { return c.succeeded(old) })
}

// succeeded reports whether all sentinels name another master than the one
// given, and takes it.
func (c *campaign) succeeded(old *testserver.Redis) bool { return c.agreed() && c.master != old }

// agreed reports whether all sentinels name the same master, and takes it.
func (c *campaign) agreed() bool {
	addr := masterOf(c.sentinels[0])
	for _, s := range c.sentinels[1:] {
		if masterOf(s) != addr {
			return false
		}
	}
	i := slices.IndexFunc(c.servers, func(r *testserver.Redis) bool { return r.Addr == addr })
	if i >= 0 {
		c.master = c.servers[i]
	}
	return i >= 0
}

func masterOf(sentinel *testserver.Redis) string {
	client := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	defer func() { _ = client.Close() }()
	parts, err := client.GetMasterAddrByName(context.Background(), "main").Result()
	if err != nil || len(parts) != 2 {
		return ""
	}
	return parts[0] + ":" + parts[1]
}

// awaitReplicas returns when both replicas follow the master and every sentinel
// sees it. On a busy machine Sentinel may have gone on to another master.
func (c *campaign) awaitReplicas() {
	c.t.Helper()
	c.await("the replicas to follow", func() bool {
		if !c.agreed() {
			return false
		}
		for _, r := range c.servers {
			info := c.ask(r, "INFO", "replication")
			if r != c.master && (!strings.Contains(info, fmt.Sprintf("master_port:%d\r", c.master.Port())) || !strings.Contains(info, "master_link_status:up")) {
				return false
			}
		}
		for _, s := range c.sentinels {
			if !strings.Contains(c.ask(s, "INFO", "sentinel"), "status=ok,address="+c.master.Addr+",slaves=2,sentinels=3") {
				return false
			}
		}
		return true
	})
}
