package gaplesswatermill_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
	gaplesswatermill "github.com/gapless-go/gapless/integrations/watermill"
	"github.com/gapless-go/gapless/internal/leaktest"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const patience = time.Minute

// pubsub is a log in memory with its place.
type pubsub struct {
	*testing.T
	log   *memlog.Log
	place *memlog.Place
}

func newPubsub(t *testing.T) pubsub { return pubsub{t, memlog.New(nil), memlog.NewPlace()} }

// subscribe delivers the topic from its beginning.
func (p pubsub) subscribe(opts gaplesswatermill.SubscriberOptions) (*gaplesswatermill.Subscriber[*memlog.PlaceTx], <-chan *message.Message) {
	p.Helper()
	opts.Start, opts.MaxPause = cdc.Beginning(), time.Millisecond
	sub, err := gaplesswatermill.NewSubscriber(p.log, p.place, &opts)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = sub.Close() })
	messages, err := sub.Subscribe(p.Context(), "orders")
	if err != nil {
		p.Fatal(err)
	}
	return sub, messages
}

func (p pubsub) publish(topic string, messages ...*message.Message) {
	p.Helper()
	if err := gaplesswatermill.NewPublisher(p.log).Publish(topic, messages...); err != nil {
		p.Fatal(err)
	}
}

// next returns the next message, nil if there is none any more.
func (p pubsub) next(messages <-chan *message.Message) *message.Message {
	p.Helper()
	select {
	case msg := <-messages:
		return msg
	case <-time.After(patience):
		p.Fatal("no message came")
	}
	return nil
}

// ack acks the next messages, which must be these.
func (p pubsub) ack(messages <-chan *message.Message, uuids ...string) {
	p.Helper()
	for _, want := range uuids {
		msg := p.next(messages)
		if msg == nil || msg.UUID != want {
			p.Fatalf("got %+v, want message %s", msg, want)
		}
		msg.Ack()
	}
}

func payload(uuid string) *message.Message { return message.NewMessage(uuid, []byte(uuid)) }

func TestMessagesAreEvents(t *testing.T) {
	p := newPubsub(t)
	sent := payload("m/1")
	sent.Metadata = message.Metadata{"trace": "t", gaplesswatermill.MetadataType: "order.placed", gaplesswatermill.MetadataKey: "o-1"}
	want := maps.Clone(sent.Metadata)
	p.publish("orders", sent, payload(""))
	p.publish("orders", sent) // adds nothing
	p.publish("bills", sent)  // is of another topic
	if _, err := p.log.Append(t.Context(), cdc.Event{Topic: "orders", ID: "o-2"}, cdc.Event{Topic: "orders"}); err != nil {
		t.Fatal(err)
	}
	b, err := p.log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := p.log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch}, 10)
	if err != nil || len(page.Events) != 5 {
		t.Fatalf("got %d events, %v, want 5", len(page.Events), err)
	}
	if e := page.Events[0]; e.ID != "orders/m/1" || e.Type != "order.placed" || e.Key != "o-1" || fmt.Sprint(e.Meta) != "map[trace:t]" || string(e.Data) != "m/1" {
		t.Errorf("the event is %+v", e)
	}
	_, messages := p.subscribe(gaplesswatermill.SubscriberOptions{})
	got := p.next(messages)
	if got.UUID != "m/1" || !maps.Equal(got.Metadata, want) || string(got.Payload) != "m/1" {
		t.Errorf("the message is %+v", got)
	}
	got.Ack()
	p.ack(messages, "2", "o-2", "5")
}

// What was acked before Close is not delivered again, though its batch had more.
func TestCloseStoresWhatWasAcked(t *testing.T) {
	p := newPubsub(t)
	p.publish("orders", payload("a"), payload("b"), payload("c"), payload("d"))
	sub, messages := p.subscribe(gaplesswatermill.SubscriberOptions{})
	p.ack(messages, "a", "b")
	third := p.next(messages)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if third.Context().Err() == nil || p.next(messages) != nil {
		t.Error("after Close there are messages, or a context that has not ended")
	}
	if _, err := sub.Subscribe(t.Context(), "orders"); !errors.Is(err, gaplesswatermill.ErrClosed) {
		t.Errorf("Subscribe after Close: got %v", err)
	}
	_, messages = p.subscribe(gaplesswatermill.SubscriberOptions{})
	p.ack(messages, "c", "d")
}

// Two groups have a position each; a new one begins at the head by default.
func TestGroups(t *testing.T) {
	p := newPubsub(t)
	p.publish("orders", payload("old"))
	sub, err := gaplesswatermill.NewSubscriber(p.log, p.place, &gaplesswatermill.SubscriberOptions{Group: "news"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := sub.SubscribeInitialize("orders"); err != nil {
		t.Fatal(err)
	}
	p.publish("orders", payload("new"))
	news, err := sub.Subscribe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	p.ack(news, "new")
	_, all := p.subscribe(gaplesswatermill.SubscriberOptions{Group: "all"})
	p.ack(all, "old", "new")
}

func TestNacksPark(t *testing.T) {
	p := newPubsub(t)
	keyed := func(uuid, key string) *message.Message {
		msg := payload(uuid)
		msg.Metadata.Set(gaplesswatermill.MetadataKey, key)
		return msg
	}
	p.publish("orders", keyed("a1", "a"), keyed("b1", "b"), keyed("a2", "a"), keyed("b2", "b"))
	_, messages := p.subscribe(gaplesswatermill.SubscriberOptions{MaxNacks: 3})
	for range 3 {
		if msg := p.next(messages); msg.UUID != "a1" {
			t.Fatalf("got %s, want a1 again", msg.UUID)
		} else {
			msg.Nack()
		}
	}
	p.ack(messages, "b1", "b2")
	for { // until these acks are stored: what others change makes the rest of a batch come again
		state, err := p.place.Load(t.Context(), "default/orders")
		if err != nil {
			t.Fatal(err)
		}
		if state.Cursor.Seq == 4 && len(state.Parked) == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cdc.RetryParked(t.Context(), p.place, "default/orders", 1); err != nil {
		t.Fatal(err)
	}
	p.ack(messages, "a1", "a2")
}

// Events that are gone end the subscription with an error, or the application
// says where to go on.
func TestReset(t *testing.T) {
	p := newPubsub(t)
	p.publish("orders", payload("a"))
	sub, messages := p.subscribe(gaplesswatermill.SubscriberOptions{})
	p.ack(messages, "a")
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	p.publish("orders", payload("b"), payload("c"))
	if _, err := p.log.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 10)
	_, messages = p.subscribe(gaplesswatermill.SubscriberOptions{OnError: func(err error) { told <- err }})
	if msg := p.next(messages); msg != nil {
		t.Errorf("got %s, want the end", msg.UUID)
	}
	for reset := (*cdc.ResetError)(nil); reset == nil; {
		_ = errors.As(<-told, &reset)
	}
	_, messages = p.subscribe(gaplesswatermill.SubscriberOptions{Reset: func(*cdc.ResetError) (cdc.Start, error) { return cdc.Beginning(), nil }})
	p.ack(messages, "c")
}

func TestWhatIsRefused(t *testing.T) {
	p := newPubsub(t)
	for _, opts := range []gaplesswatermill.SubscriberOptions{{Group: "a/b"}, {MaxNacks: -1}, {BatchSize: -1}, {MaxPause: -1}, {Term: 1}} {
		if _, err := gaplesswatermill.NewSubscriber(p.log, p.place, &opts); err == nil {
			t.Errorf("%+v is not refused", opts)
		}
	}
	sub, err := gaplesswatermill.NewSubscriber(p.log, p.place, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if _, err := sub.Subscribe(t.Context(), string(make([]byte, 200))); err == nil {
		t.Error("a topic of which no worker can be made is not refused")
	}
	pub := gaplesswatermill.NewPublisher(p.log)
	if err := errors.Join(pub.Publish("orders"), pub.Close(), pub.Close()); err != nil {
		t.Error(err)
	}
	if err := pub.Publish("orders", payload("a")); !errors.Is(err, gaplesswatermill.ErrClosed) {
		t.Errorf("Publish after Close: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	msg := payload("a")
	msg.SetContext(ended)
	if err := gaplesswatermill.NewPublisher(p.log).Publish("orders", msg); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with an ended context: got %v", err)
	}
}
