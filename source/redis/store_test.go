package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func newStore(t testing.TB, client redis.UniversalClient) *redislog.Store {
	t.Helper()
	s, err := redislog.NewStore(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func in(t testing.TB, s *redislog.Store, name string) *redislog.Log {
	t.Helper()
	l, err := s.Open(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// blockedReads counts the connections whose last command was XREAD: the readers'.
func blockedReads(t testing.TB, client *redis.Client) int {
	t.Helper()
	list, err := client.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "cmd=xread")
}

// TestStoreSharesAConnection: fifty logs with subscriptions wait on one, each is
// woken by what another process appends to it, and by nothing else.
func TestStoreSharesAConnection(t *testing.T) {
	t.Parallel()
	const logs = 50
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	s := newStore(t, client)
	var subs []cdc.Subscription
	began := time.Now()
	for i := range logs {
		subs = append(subs, subscribe(t, in(t, s, fmt.Sprint("log", i))))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d subscriptions took %v, want none to wait for a read to end", logs, took)
	}
	if n := blockedReads(t, client); n > 1 {
		t.Errorf("got %d connections that wait, want one", n)
	}
	others := newStore(t, newClient(t, server))
	for i, sub := range subs {
		appendN(t, in(t, others, fmt.Sprint("log", i)), 0, 1)
		if err := next(t, sub); err != nil {
			t.Fatalf("log %d: %v", i, err)
		}
		if i == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, err := subs[1].Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Next of a log that did not grow: got %v, want the deadline", err)
			}
			cancel()
		}
	}
	for _, sub := range subs {
		_ = sub.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); blockedReads(t, client) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still there though nobody waits")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestStoreSubscribesConcurrently beside traffic on other logs.
func TestStoreSubscribesConcurrently(t *testing.T) {
	t.Parallel()
	s := newStore(t, newClient(t, testserver.StartRedis(t)))
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			l, err := s.Open(t.Context(), fmt.Sprint("log", i%5), nil) // four Logs of each name
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 5 {
				sub, err := l.Subscribe(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Append(t.Context(), cdc.Event{Data: []byte{byte(n)}}); err != nil {
					t.Error(err)
				}
				if err := next(t, sub); err != nil {
					t.Error(err)
				}
				_ = sub.Close()
			}
		})
	}
	all.Wait()
}

// TestStoreIsolatesLogs: one whose keys others have replaced ends its own
// subscriptions only.
func TestStoreIsolatesLogs(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	s := newStore(t, client)
	bad, good := in(t, s, "bad"), in(t, s, "good")
	badSub, goodSub := subscribe(t, bad), subscribe(t, good)
	if err := client.Do(t.Context(), "DEL", "gapless:{bad}:log").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "gapless:{bad}:log", "a text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // final: it stays
		if err := next(t, badSub); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("Next of the replaced log: got %v, want WRONGTYPE", err)
		}
	}
	appendN(t, openLog(t, newClient(t, server), "good", nil), 0, 1)
	if err := next(t, goodSub); err != nil {
		t.Errorf("Next of the other log: %v", err)
	}
}

// TestStoreOutlivesItsConnection: all logs go on after it was killed.
func TestStoreOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	s := newStore(t, client)
	a, b := in(t, s, "a"), in(t, s, "b")
	subA, subB := subscribe(t, a), subscribe(t, b)
	for i := range 3 {
		if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		other := openLog(t, newClient(t, server), "a", nil)
		appendRetry(t, other, i)
		appendRetry(t, b, i)
		if err := errors.Join(next(t, subA), next(t, subB)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreClose(t *testing.T) {
	t.Parallel()
	s := newStore(t, newClient(t, testserver.StartRedis(t)))
	a, b := in(t, s, "a"), in(t, s, "b")
	subA, subB := subscribe(t, a), subscribe(t, b)
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	if err := next(t, subA); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Next of the closed log: got %v, want ErrClosed", err)
	}
	appendN(t, b, 0, 1)
	if err := next(t, subB); err != nil {
		t.Errorf("Next of the other log: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if err := next(t, subB); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Next after the Store's Close: got %v, want ErrClosed", err)
	}
	if _, err := b.Bounds(t.Context()); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Bounds after the Store's Close: got %v, want ErrClosed", err)
	}
	if _, err := s.Open(t.Context(), "c", nil); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Open after the Store's Close: got %v, want ErrClosed", err)
	}
}

// TestStoreInACluster: logs on all nodes, each with its own connection.
func TestStoreInACluster(t *testing.T) {
	t.Parallel()
	nodes := testserver.StartRedisCluster(t, 3, 0)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { _ = client.Close() })
	s := newStore(t, client)
	for i := range 6 {
		l := in(t, s, fmt.Sprint("log", i))
		sub := subscribe(t, l)
		appendN(t, openLog(t, client, fmt.Sprint("log", i), nil), 0, 1)
		if err := next(t, sub); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNameRefused(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	for name, want := range map[string]string{"": "is empty", "a{b}": "braces"} {
		_, err := redislog.Open(t.Context(), client, name, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "give the log a name") {
			t.Errorf("Open of %q: got %v, want it to say %q and what to do", name, err, want)
		}
	}
	if _, err := redislog.Open(t.Context(), nil, "x", nil); err == nil || !strings.Contains(err.Error(), "client is nil") {
		t.Errorf("Open without a client: got %v, want it to say so", err)
	}
}
