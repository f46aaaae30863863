// Package jetstreamlog is a log in one NATS JetStream stream, on one server or
// replicated to several, which any number of processes append to and follow.
//
// # Basics
//
// [Open] takes the application's own jetstream.JetStream. The stream has the
// log's name, an event is a message, and its sequence is the seq. The subject of
// an event is gapless.<log>.<hash of its ID>: the server refuses a second message
// there, which makes appends idempotent for as long as the event is retained. An
// append of several events is an atomic batch. Reads are direct gets, which any
// replica answers; what the stream's leader says afterwards decides whether the
// page may be given out. The server announces each event on
// gapless-live.<log>.>, as a hint: the live side looks every second as well.
//
//	log, err := jetstreamlog.Open(ctx, js, "orders", &jetstreamlog.Options{Replicas: 3})
//	receipt, err := log.Append(ctx, cdc.Event{ID: "17/created", Topic: "orders", Type: "order.created", Key: "17"})
//
// # What is noticed
//
// The stream's metadata hold the epoch. Seqs have no holes, so whatever other
// programs purge shows: cursors below it get a [cdc.ResetError] with
// [cdc.ReasonTruncated]. A stream that lost its newest events, or was restored
// from a backup, is noticed by the tag in the cursor and by its last sequence;
// one that was deleted and made again has another epoch. A replica that has not
// got an event yet is asked again, and a leader that has lost its quorum is
// waited for.
//
// # Caveats
//
// nats-server acknowledges what it has not written to the disk yet, unless its
// sync_interval is "always"; no client can see which. docs/jetstream.md has the
// table.
package jetstreamlog
