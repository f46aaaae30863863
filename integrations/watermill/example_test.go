package gaplesswatermill_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
	gaplesswatermill "github.com/gapless-go/gapless/integrations/watermill"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func Example() {
	ctx := context.Background()
	log, place := memlog.New(nil), memlog.NewPlace()
	sub, err := gaplesswatermill.NewSubscriber(log, place, &gaplesswatermill.SubscriberOptions{Group: "mails", Start: cdc.Beginning()})
	if err != nil {
		panic(err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		panic(err)
	}
	handled := make(chan string)
	router.AddConsumerHandler("mails", "orders", sub, func(msg *message.Message) error {
		handled <- fmt.Sprintf("%s: %s", msg.UUID, msg.Payload)
		return nil // acks
	})
	go func() { _ = router.Run(ctx) }()
	if err := gaplesswatermill.NewPublisher(log).Publish("orders", message.NewMessage("o-1", []byte("two books"))); err != nil {
		panic(err)
	}
	fmt.Println(<-handled)
	_ = router.Close()
	// Output: o-1: two books
}
