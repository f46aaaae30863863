// Package gaplesswatermill makes a Publisher and a Subscriber of watermill of any
// [cdc.Log].
//
//	publisher := gaplesswatermill.NewPublisher(log)
//	subscriber, err := gaplesswatermill.NewSubscriber(log, place, &gaplesswatermill.SubscriberOptions{Group: "mails"})
//
// A message is an event whose topic is that of the message, whose data is the
// payload and whose metadata is the metadata. The UUID is the event's ID without
// the topic and the slash before it: publishing a message again adds nothing, and
// one message may be published to several topics of a log. Events that others
// have appended are messages, too: with their ID as UUID, or their seq if they
// have none.
//
// Delivery is at least once, in order: the next message comes when the one before
// was acked. A handler whose writes must take effect exactly once is one for
// [cdc.Consume], which has the transaction in which the position moves.
package gaplesswatermill
