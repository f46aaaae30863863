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
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// A command that cannot be queued undoes all, and is a failure of the handler on
// its event: that one is parked, and the others go on.
func TestACommandThatIsNotQueuedFailsOnItsEvent(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	admin := newClient(t, server)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "-flushall").Err(); err != nil {
		t.Fatal(err)
	}
	for name, poison := range map[string][]any{"unknown": {"NOSUCHCOMMAND", "k"}, "wrong": {"SET", "k"}, "not permitted": {"FLUSHALL"}} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "worker", Password: "secret"})
			t.Cleanup(func() { _ = client.Close() })
			s, err := placeStore(t, "of "+name, client)
			if err != nil {
				t.Fatal(err)
			}
			texts := appendTexts(t, s.Log, 5)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				done <- cdc.Consume(ctx, s.Log, "w", s.Place, cdc.Handler[redis.Pipeliner]{
					Apply: func(ctx context.Context, tx redis.Pipeliner, d *cdc.Delivery) error {
						if text := string(d.Event.Data); text != texts[2] {
							return s.Write(ctx, tx, text)
						}
						tx.Do(ctx, poison...)
						return nil
					},
				}, &cdc.ConsumeOptions{Start: cdc.Beginning(), MaxTries: 2})
			}()
			state := cdc.WorkerState{}
			for state.Cursor.Seq < 5 {
				if state, err = s.Place.Load(ctx, "w"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if len(state.Parked) != 1 || state.Parked[0].Event.Seq != 3 || !strings.Contains(state.Parked[0].Reason, "refused to queue") {
				t.Errorf("parked are %+v, want event 3 alone", state.Parked)
			}
			if got, err := s.Written(t.Context()); err != nil || fmt.Sprint(got) != "[0 1 3 4]" {
				t.Errorf("the list is %q, %v, want all but that of event 3", got, err)
			}
		})
	}
}

// What the place itself may not queue can never succeed.
func TestAPlaceThatIsRefusedEndsTheWorker(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	if err := newClient(t, server).Do(t.Context(), "ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "-hset").Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "worker", Password: "secret"})
	t.Cleanup(func() { _ = client.Close() })
	s, err := placeStore(t, "x", client)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Place.Apply(t.Context(), "w", 0, func(ctx context.Context, tx redis.Pipeliner) (cdc.Change, error) {
		return cdc.Change{}, s.Write(ctx, tx, "x")
	})
	failure, ok := errors.AsType[*cdc.Failure](err)
	refused, named := errors.AsType[*redislog.RefusedError](err)
	if !ok || failure.Class != cdc.Stop || !named || refused.Command != "hset" || !strings.Contains(refused.Key, "state:w") {
		t.Errorf("got %v, want a RefusedError of HSET that ends the worker", err)
	}
	if got, err := s.Written(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("the list is %q, %v, want nothing", got, err)
	}
}
