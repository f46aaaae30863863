package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

func pause(from, to int) {
	time.Sleep(time.Duration(from+rand.IntN(to-from)) * time.Millisecond)
}

const (
	handles         = 2
	followersPerHub = 4
)

// campaign is a system under faults.
type campaign struct {
	t         *testing.T
	master    *testserver.Redis
	replica   *testserver.Redis
	servers   []*testserver.Redis // of Sentinel and the cluster, with the master
	sentinels []*testserver.Redis
	connect   func(handle int) redis.UniversalClient
	options   *redislog.Options

	link, replicaLink *link
	route             [handles]atomic.Pointer[link]

	logs []*redislog.Log
	hubs []*cdc.Hub

	ctx       context.Context
	cancel    context.CancelFunc
	writers   sync.WaitGroup
	readers   sync.WaitGroup
	stop      chan struct{}         // closed: writers end
	appended  [handles]atomic.Int64 // by each handle
	unknown   atomic.Int64
	history   verify.History
	followers []*campaignFollower
}

func startCampaign(t *testing.T, start func(*campaign)) *campaign {
	t.Helper()
	c := &campaign{t: t, stop: make(chan struct{})}
	start(c)
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range handles {
		client := c.connect(i)
		log, err := redislog.Open(t.Context(), client, "x", c.options)
		if err != nil {
			t.Fatal(err)
		}
		hub, err := cdc.NewHub(log, nil)
		if err != nil {
			t.Fatal(err)
		}
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
		c.appended[writer].Add(1)
		time.Sleep(time.Millisecond)
	}
}

// busy waits until n more events were appended.
func (c *campaign) busy(n int64) {
	c.t.Helper()
	want := c.acknowledged() + n
	c.await("appends: the log did not come back", func() bool { return c.acknowledged() >= want })
}

// busyOn waits until n more events were appended by the handle.
func (c *campaign) busyOn(handle int, n int64) {
	c.t.Helper()
	want := c.appended[handle].Load() + n
	c.await("appends: the log did not come back", func() bool { return c.appended[handle].Load() >= want })
}

// settle waits until every follower gets events of the log as it is now. Another
// handle may notice a loss meanwhile, and the log has another epoch then.
func (c *campaign) settle() {
	c.t.Helper()
	had := map[*campaignFollower]int{}
	for _, f := range c.followers {
		_, had[f] = f.position()
	}
	c.await("the followers to get events", func() bool {
		now, err := c.logs[0].Bounds(c.ctx)
		return err == nil && !slices.ContainsFunc(c.followers, func(f *campaignFollower) bool {
			at, delivered := f.position()
			return at.Epoch != now.Epoch || delivered == had[f]
		})
	})
}

func (c *campaign) acknowledged() int64 {
	var sum int64
	for i := range c.appended {
		sum += c.appended[i].Load()
	}
	return sum
}

func (c *campaign) await(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// insist asks again every so often until it is so: what is asked for may come to
// nothing without a word.
func (c *campaign) insist(what string, every time.Duration, ask func(), ok func() bool) {
	c.t.Helper()
	var asked time.Time
	c.await(what, func() bool {
		if time.Since(asked) > every {
			asked = time.Now()
			ask()
		}
		return ok()
	})
}

func (c *campaign) admin(server *testserver.Redis, args ...any) error {
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer func() { _ = client.Close() }()
	return client.Do(context.Background(), args...).Err()
}
