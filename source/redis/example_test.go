package redislog_test

import (
	"context"
	"errors"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// One of many processes that append to a log: what has an ID can be sent again
// when nobody knows whether it arrived.
func ExampleOpen() {
	run := func(ctx context.Context) error {
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
		defer client.Close()
		log, err := redislog.Open(ctx, client, "inbox", &redislog.Options{Logger: slog.Default()})
		if err != nil {
			return err
		}
		defer log.Close()
		message := cdc.Event{ID: "ada/17", Topic: "inbox:bob", Type: "message", Data: []byte(`"hello"`)}
		_, err = log.Append(ctx, message)
		if errors.Is(err, cdc.ErrUnknownOutcome) {
			_, err = log.Append(ctx, message) // the same ID: it is there once
		}
		return err
	}
	_ = run
}

// A worker that counts in Redis: the handler queues commands, which take effect
// together with the move of its position.
func ExampleStore_Place() {
	run := func(ctx context.Context, client *redis.Client) error {
		store, err := redislog.NewStore(client)
		if err != nil {
			return err
		}
		defer store.Close()
		log, err := store.Open(ctx, "inbox", nil)
		if err != nil {
			return err
		}
		place, err := store.Place("workers")
		if err != nil {
			return err
		}
		return cdc.Consume(ctx, log, "count", place, cdc.Handler[redis.Pipeliner]{
			Apply: func(ctx context.Context, tx redis.Pipeliner, d *cdc.Delivery) error {
				return tx.HIncrBy(ctx, "messages", d.Event.Topic, 1).Err()
			},
		}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
	}
	_ = run
}
