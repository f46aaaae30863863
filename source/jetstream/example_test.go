package jetstreamlog_test

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// A log on three servers, over the connection of the application.
func ExampleOpen() {
	run := func(ctx context.Context) error {
		conn, err := nats.Connect("nats://127.0.0.1:4222")
		if err != nil {
			return err
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}
		log, err := jetstreamlog.Open(ctx, js, "orders", &jetstreamlog.Options{Replicas: 3})
		if err != nil {
			return err
		}
		defer log.Close() // the connection stays open
		_, err = log.Append(ctx, cdc.Event{ID: "17/created", Topic: "orders", Type: "order.created", Key: "17"})
		return err
	}
	_ = run
}
