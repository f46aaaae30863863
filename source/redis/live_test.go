package redislog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func subscribe(t testing.TB, l *redislog.Log) cdc.Subscription {
	t.Helper()
	s, err := l.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// next fails if the subscription does not return in time.
func next(t testing.TB, s cdc.Subscription) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := s.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("Next did not return")
	}
	return err
}

func TestSubscribeSeesOtherHandles(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	writer := openLog(t, newClient(t, server), "x", nil)
	reader := openLog(t, newClient(t, server), "x", nil)
	s := subscribe(t, reader)
	for i := range 50 {
		appendN(t, writer, i, 1)
		for bounds(t, reader).Last != uint64(i+1) {
			t.Fatal("an acknowledged append is not visible")
		}
		if err := next(t, s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNextEndsAtOnce(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	for _, test := range []struct {
		name string
		end  func(cancel context.CancelFunc, s cdc.Subscription, l *redislog.Log)
		want error
	}{
		{"cancel", func(c context.CancelFunc, _ cdc.Subscription, _ *redislog.Log) { c() }, context.Canceled},
		{"close", func(_ context.CancelFunc, s cdc.Subscription, _ *redislog.Log) { _ = s.Close() }, cdc.ErrClosed},
		{"log", func(_ context.CancelFunc, _ cdc.Subscription, l *redislog.Log) { _ = l.Close() }, cdc.ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := openLog(t, newClient(t, server), "x", nil)
			s := subscribe(t, l)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error)
			go func() { _, err := s.Next(ctx); got <- err }()
			began := time.Now()
			test.end(cancel, s, l)
			if err := <-got; !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A hundred subscriptions and a pool of one connection: the pool stays free.
func TestSubscriptionsCostNoPool(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 1, PipelinePoolSize: -1, PoolTimeout: time.Second})
	t.Cleanup(func() { _ = client.Close() })
	l := openLog(t, client, "x", nil)
	var wg sync.WaitGroup
	for range 100 {
		s := subscribe(t, l)
		wg.Go(func() {
			if err := next(t, s); err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	list, err := client.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if n := lines(list); n > 2 {
		t.Errorf("got %d connections, want the pool's one and ours:\n%s", n, list)
	}
	appendN(t, l, 0, 1)
	wg.Wait()
}

func lines(text string) (n int) {
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}

func TestClientKillDoesNotEndSubscriptions(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	l := openLog(t, client, "x", nil)
	s := subscribe(t, l)
	for i := range 5 {
		if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		appendRetry(t, l, i)
		if err := next(t, s); err != nil {
			t.Fatal(err)
		}
	}
}

// appendRetry appends an event with an ID until the outcome is known.
func appendRetry(t testing.TB, l cdc.Appender, i int) {
	t.Helper()
	e := cdc.Event{ID: "id-" + time.Now().String(), Data: []byte{byte(i)}}
	var err error
	for range 100 {
		if _, err = l.Append(t.Context(), e); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(err)
}

func TestEpochChangeReachesOtherHandles(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	a := openLog(t, newClient(t, server), "x", nil)
	b := openLog(t, newClient(t, server), "x", nil)
	appendN(t, a, 0, 3)
	sub := subscribe(t, b)
	old := bounds(t, a)
	epoch, err := a.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reset := wantReset(t, next(t, sub), cdc.ReasonEpochChanged)
	if reset.Resume.Epoch != epoch || reset.Resume.Seq != 3 {
		t.Errorf("got %+v, want to resume after %s.3", reset, epoch)
	}
	_ = wantReset(t, next(t, sub), cdc.ReasonEpochChanged) // final
	_, err = b.Read(t.Context(), cdc.Cursor{Epoch: old.Epoch, Seq: 1}, 5)
	_ = wantReset(t, err, cdc.ReasonForeign)
	if now := bounds(t, b); now != (cdc.Bounds{Epoch: epoch, Head: 3, Last: 3}) {
		t.Errorf("got %+v: events and seqs must stay", now)
	}
}
