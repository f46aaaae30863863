package redislog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := testserver.StartRedisCluster(t, 3, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { _ = client.Close() })
	// Names on all three nodes, and the same with reads that the client would
	// send to replicas.
	readOnly := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[1].Addr}, ReadOnly: true, RouteRandomly: true})
	t.Cleanup(func() { _ = readOnly.Close() })
	for i := range 9 {
		name := fmt.Sprint("log", i)
		l := openLog(t, client, name, nil)
		other := openLog(t, readOnly, name, nil)
		s := subscribe(t, other)
		epoch := appendN(t, l, 1, 20).Epoch
		if err := next(t, s); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, other, cdc.Cursor{Epoch: epoch}, 7); len(got) != 20 {
			t.Errorf("%s: got %d events, want 20", name, len(got))
		}
		if n, err := other.Trim(t.Context(), 5); n != 5 || err != nil {
			t.Errorf("%s: trim: got %d, %v", name, n, err)
		}
	}
}

// A slot that moves to another node takes the log along.
func TestClusterMovesSlot(t *testing.T) {
	t.Parallel()
	nodes := testserver.StartRedisCluster(t, 3, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { _ = client.Close() })
	l := openLog(t, client, "x", nil)
	s := subscribe(t, l)
	epoch := appendN(t, l, 1, 10).Epoch
	if err := next(t, s); err != nil {
		t.Fatal(err)
	}

	slot := client.ClusterKeySlot(t.Context(), "gapless:{x}").Val()
	from, to := nodesOf(t, nodes)
	id := func(c *redis.Client) string {
		return c.Do(t.Context(), "CLUSTER", "MYID").Val().(string)
	}
	host, port, _ := strings.Cut(to.Options().Addr, ":")
	do(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(from))
	do(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(to))
	do(t, from, "MIGRATE", host, port, "gapless:{x}", 0, 5000)
	// Half of the keys are gone: whatever is answered now, nothing may be made anew.
	if _, err := l.Append(t.Context(), cdc.Event{ID: "half"}); err == nil {
		t.Error("an append in the middle of a migration was acknowledged")
	}
	do(t, from, "MIGRATE", host, port, "gapless:{x}:log", 0, 5000)
	do(t, to, "CLUSTER", "SETSLOT", slot, "NODE", id(to))
	do(t, from, "CLUSTER", "SETSLOT", slot, "NODE", id(to))
	if r := appendN(t, l, 11, 1); r.Epoch != epoch || r.Seqs[0] != 11 {
		t.Fatalf("got %+v, want seq 11 of %s", r, epoch)
	}
	if err := next(t, s); err != nil {
		t.Fatal(err)
	}
}

// nodesOf returns a node that has the log, and another one.
func nodesOf(t *testing.T, nodes []*testserver.Redis) (from, to *redis.Client) {
	t.Helper()
	for _, n := range nodes {
		c := newClient(t, n)
		if c.Exists(t.Context(), "gapless:{x}").Val() == 1 {
			from = c
		} else {
			to = c
		}
	}
	return from, to
}

func TestMinReplicas(t *testing.T) {
	t.Parallel()
	master := testserver.StartRedis(t)
	replica := testserver.StartReplica(t, master)
	client := newClient(t, master)
	l := openLog(t, client, "x", &redislog.Options{MinReplicas: 1, ReplicaTimeout: 2 * time.Second})
	appendN(t, l, 1, 10)

	replica.Stop()
	event := cdc.Event{ID: "a"}
	r, err := l.Append(t.Context(), event)
	if !errors.Is(err, cdc.ErrUnknownOutcome) || !strings.Contains(err.Error(), "0 of 1 replicas") {
		t.Fatalf("got %+v, %v, want too few replicas", r, err)
	}
	if _, err = l.Append(t.Context(), event); !errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Fatalf("got %v: a retry must wait too", err)
	}
	replica.Cont()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r, err = l.Append(t.Context(), event)
		if err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil || !r.Duplicate || r.Seqs[0] != 11 {
		t.Fatalf("got %+v, %v, want the duplicate 11", r, err)
	}
	if got := newClient(t, replica).HGet(t.Context(), "gapless:{x}", "head").Val(); got != "11" {
		t.Errorf("the replica has head %s, want 11", got)
	}
}

// The epoch may change on a master whose replica, promoted then, still has the one
// before: it is not to go on as if that had never been left.
func TestAServerThatGoesBackToAnEpoch(t *testing.T) {
	t.Parallel()
	for what, call := range map[string]func(*redislog.Log) (string, error){
		"append": func(l *redislog.Log) (string, error) {
			r, err := l.Append(t.Context(), cdc.Event{ID: "next"})
			return r.Epoch, err
		},
		"bounds": func(l *redislog.Log) (string, error) {
			b, err := l.Bounds(t.Context())
			return b.Epoch, err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f, l, old := startLagging(t)
			appendN(t, l, 11, 3)
			left, err := l.Renew(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			appendN(t, l, 14, 2)
			f.promote()
			var epoch string
			for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if epoch, err = call(l); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			if epoch == old || epoch == left {
				t.Errorf("got the epoch %s, want one that is neither %s nor %s", epoch, old, left)
			}
		})
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	master := testserver.StartRedis(t)
	testserver.StartReplica(t, master)
	sentinel := testserver.StartSentinels(t, "main", master, 1, 1)[0]
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel.Addr}, DialTimeout: time.Second})
	t.Cleanup(func() { _ = client.Close() })
	l := openLog(t, client, "x", &redislog.Options{MinReplicas: 1})
	epoch := appendN(t, l, 1, 10).Epoch
	master.Kill()
	var r cdc.Receipt
	err := errors.New("not tried")
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		r, err = l.Append(t.Context(), cdc.Event{ID: "after"})
		if err == nil || strings.Contains(err.Error(), "0 of 1 replicas") { // the only one is master now
			break
		}
	}
	if len(r.Seqs) != 1 || r.Epoch != epoch || r.Seqs[0] != 11 {
		t.Fatalf("got %+v, %v, want seq 11 of %s: nothing acknowledged was lost", r, err, epoch)
	}
	s := subscribe(t, l)
	appendNoWait(t, l)
	if err := next(t, s); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: epoch}, 5); len(got) != 12 {
		t.Errorf("got %d events, want 12", len(got))
	}
}

// appendNoWait appends where no replica can answer.
func appendNoWait(t *testing.T, l *redislog.Log) {
	t.Helper()
	if r, err := l.Append(t.Context(), cdc.Event{}); len(r.Seqs) != 1 {
		t.Fatal(err)
	}
}

func TestOldServer(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	version := parseVersion(t, newClient(t, server))
	proxy := testserver.StartProxy(t, server.Port())
	old := "6" + version[1:]
	proxy.Rewrite("redis_version:"+version, "redis_version:"+old)
	c := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = c.Close() })
	_, err := redislog.Open(t.Context(), c, "x", nil)
	if err == nil || !strings.Contains(err.Error(), "the server is Redis "+old+": version 7.0 or later") {
		t.Errorf("got %v", err)
	}
}

func parseVersion(t *testing.T, c *redis.Client) string {
	t.Helper()
	_, rest, _ := strings.Cut(c.Info(t.Context(), "server").Val(), "redis_version:")
	version, _, _ := strings.Cut(rest, "\r")
	return version
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "keeps nothing on disk"},
		{[]string{"--save", "900 1"}, "keeps snapshots only"},
		{[]string{"--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "may evict the log"},
		{[]string{"--appendonly", "yes"}, ""},
	} {
		var text strings.Builder
		logger := slog.New(slog.NewTextHandler(&text, nil))
		openLog(t, newClient(t, testserver.StartRedis(t, test.args...)), "x", &redislog.Options{Logger: logger})
		if got := text.String(); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%v: got %q, want %q", test.args, got, test.want)
		}
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		keep bool
	}{
		{"appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}, true},
		{"nothing kept", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := testserver.StartRedis(t, test.args...)
			client := newClient(t, server)
			l := openLog(t, client, "x", nil)
			s := subscribe(t, l)
			epoch := appendN(t, l, 1, 20).Epoch
			events := readAll(t, l, cdc.Cursor{Epoch: epoch}, 100)
			if err := next(t, s); err != nil {
				t.Fatal(err)
			}
			server.Kill()
			server.Restart()
			appendRetry(t, l, 0)
			_, err := l.Read(t.Context(), events[19].Cursor(epoch), 5)
			if test.keep {
				if err != nil {
					t.Fatal(err)
				}
				if b := bounds(t, l); b.Epoch != epoch || b.Last < 21 {
					t.Errorf("got %+v, want last 21 of %s", b, epoch)
				}
				return
			}
			_ = wantReset(t, err, cdc.ReasonForeign)
			err = next(t, s)
			for err == nil {
				err = next(t, s)
			}
			_ = wantReset(t, err, cdc.ReasonEpochChanged)
		})
	}
}
