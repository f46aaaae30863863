package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	"github.com/gapless-go/gapless/internal/testserver"
	memlog "github.com/gapless-go/gapless/source/mem"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	nodes := testserver.StartRedisCluster(t, 3, 0)
	for name, connect := range map[string]func() redis.UniversalClient{
		"one": func() redis.UniversalClient { return redis.NewClient(&redis.Options{Addr: server.Addr}) },
		"cluster": func() redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			placetest.Run(t, func() (s placetest.Store[redis.Pipeliner], err error) {
				n++
				return placeStore(t, fmt.Sprint("place", n), connect(), connect())
			})
		})
	}
}

// placeStore has a list beside the place, and a log elsewhere.
func placeStore(t *testing.T, name string, clients ...redis.UniversalClient) (s placetest.Store[redis.Pipeliner], err error) {
	t.Helper()
	list := "{" + name + "}list"
	for i, place := range []*cdc.Place[redis.Pipeliner]{&s.Place, &s.Second} {
		client := clients[i%len(clients)]
		t.Cleanup(func() { _ = client.Close() })
		store, err := redislog.NewStore(client)
		if err != nil {
			return s, err
		}
		t.Cleanup(func() { _ = store.Close() })
		if *place, err = store.Place(name); err != nil {
			return s, err
		}
	}
	s.Log = memlog.New(nil)
	s.Write = func(ctx context.Context, tx redis.Pipeliner, text string) error {
		return tx.RPush(ctx, list, text).Err()
	}
	s.Written = func(ctx context.Context) ([]string, error) { return clients[0].LRange(ctx, list, 0, -1).Result() }
	return s, nil
}

// consume handles what the log has, until the worker ends by itself.
func consume(t *testing.T, log cdc.Log, place cdc.Place[redis.Pipeliner], apply func(ctx context.Context, tx redis.Pipeliner, d *cdc.Delivery) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return cdc.Consume(ctx, log, "w", place, cdc.Handler[redis.Pipeliner]{Apply: apply}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
}

// Redis executes the other commands of the transaction, so nothing that is tried
// again could be right.
func TestACommandThatFailsEndsTheWorker(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	s, err := placeStore(t, "x", client)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := cdc.Append(t.Context(), s.Log, cdc.Event{Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	client.Set(t.Context(), "text", "no number", 0)
	err = consume(t, s.Log, s.Place, func(ctx context.Context, tx redis.Pipeliner, _ *cdc.Delivery) error {
		tx.Get(ctx, "nothing") // is no failure
		tx.Incr(ctx, "text")
		return s.Write(ctx, tx, "done")
	})
	partly, ok := errors.AsType[*redislog.PartlyAppliedError](err)
	if !ok || partly.Worker != "w" || partly.Command != "incr" || partly.Key != "text" {
		t.Fatalf("got %v, want a PartlyAppliedError of INCR on text", err)
	}
	state, err := s.Place.Load(t.Context(), "w")
	if got, _ := s.Written(t.Context()); err != nil || state.Cursor.Seq != 2 || len(got) != 2 {
		t.Errorf("the position is %v, the list %q, %v: the docs say that both are as after the events", state.Cursor, got, err)
	}
}

func TestAHandlerMayNotExecute(t *testing.T) {
	t.Parallel()
	s, err := placeStore(t, "x", newClient(t, testserver.StartRedis(t)))
	if err != nil {
		t.Fatal(err)
	}
	for what, misuse := range map[string]func(ctx context.Context, tx redis.Pipeliner){
		"Exec":    func(ctx context.Context, tx redis.Pipeliner) { _, _ = tx.Exec(ctx) },
		"Discard": func(_ context.Context, tx redis.Pipeliner) { tx.Discard() },
		"Pipelined and Exec": func(ctx context.Context, tx redis.Pipeliner) {
			_, _ = tx.TxPipelined(ctx, func(inner redis.Pipeliner) error {
				_, err := inner.Pipeline().Exec(ctx)
				return err
			})
		},
	} {
		err := s.Place.Apply(t.Context(), "w", 0, func(ctx context.Context, tx redis.Pipeliner) (cdc.Change, error) {
			err := s.Write(ctx, tx, what)
			misuse(ctx, tx)
			return cdc.Change{}, err
		})
		if failure, ok := errors.AsType[*cdc.Failure](err); !ok || failure.Class != cdc.Stop {
			t.Errorf("%s: got %v, want a failure of class stop", what, err)
		}
	}
	if got, err := s.Written(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("the list is %q, %v, want nothing", got, err)
	}
	// Nested pipelines add to the same queue.
	err = s.Place.Apply(t.Context(), "w", 0, func(ctx context.Context, tx redis.Pipeliner) (cdc.Change, error) {
		_, err := tx.Pipelined(ctx, func(inner redis.Pipeliner) error { return s.Write(ctx, inner, "nested") })
		return cdc.Change{}, err
	})
	if got, _ := s.Written(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("the list is %q, %v, want what was queued by a nested pipeline", got, err)
	}
}

func TestAppendInAHandlerIsRefused(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	l := openLog(t, client, "x", nil)
	appendN(t, l, 1, 1)
	s, err := placeStore(t, "x", client)
	if err != nil {
		t.Fatal(err)
	}
	var alone error
	err = consume(t, l, s.Place, func(ctx context.Context, _ redis.Pipeliner, _ *cdc.Delivery) error {
		_, alone = l.Append(ctx, cdc.Event{})
		return &cdc.Failure{Class: cdc.Stop, Err: errors.New("enough")}
	})
	if alone == nil || !strings.Contains(alone.Error(), "Prepare") {
		t.Errorf("Append in a handler: got %v and then %v, want an error that names Prepare", alone, err)
	}
}

// TestWorkersSurviveCuts cuts the connections of a worker all the time, also
// while EXEC is under way: each event takes effect once.
func TestWorkersSurviveCuts(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	proxy := testserver.StartProxy(t, server.Port())
	direct := newClient(t, server)
	s, err := placeStore(t, "x", direct)
	if err != nil {
		t.Fatal(err)
	}
	const events = 300
	want := appendTexts(t, s.Log, events)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	cut, err := placeStore(t, "x", client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- cdc.Consume(ctx, s.Log, "w", cut.Place, cdc.Handler[redis.Pipeliner]{
			Apply: func(ctx context.Context, tx redis.Pipeliner, d *cdc.Delivery) error {
				return s.Write(ctx, tx, string(d.Event.Data))
			},
		}, &cdc.ConsumeOptions{Start: cdc.Beginning(), BatchSize: 2, MaxPause: 20 * time.Millisecond, MaxTries: -1})
	}()
	for cuts, last := 0, -1; last < events; time.Sleep(time.Millisecond) {
		got, err := s.Written(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != last {
			last = len(got)
			proxy.Cut()
			cuts++
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := s.Written(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, %v, want each of %d once and in order", got, err, events)
	}
}

// appendTexts appends n events and returns their texts.
func appendTexts(t *testing.T, log cdc.Log, n int) []string {
	t.Helper()
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprint(i))
		if _, err := cdc.Append(t.Context(), log, cdc.Event{Data: []byte(texts[i])}); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}
