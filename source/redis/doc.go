// Package redislog is a log in one Redis stream, which any number of processes
// append to and follow.
//
// # Basics
//
// [Open] takes the application's own client, a *redis.Client (also one for
// Sentinel) or a *redis.ClusterClient. A log has two keys in one cluster slot:
// the hash gapless:{name} holds epoch, floor, head and the IDs, and the stream
// gapless:{name}:log the events: entry s-k has those from s-k to s, up to eight
// of one call. Scripts number and store events in one atomic step; they are
// loaded on demand. Reads are plain XRANGE pages in one transaction with the
// bounds. The live side is one blocking XREAD, on a connection of its own, for
// each [Log] or for all logs of a [Store].
//
//	log, err := redislog.Open(ctx, client, "orders", nil)
//	receipt, err := log.Append(ctx, cdc.Event{ID: "17/created", Topic: "orders", Type: "order.created", Key: "17"})
//
// # What is noticed
//
// Seqs have no holes, so whatever other programs remove from the stream (XTRIM,
// XDEL, DEL, eviction) shows: cursors below it get a [cdc.ResetError] with
// [cdc.ReasonTruncated]. A server that lost its newest events, by a failover or
// a restart, is noticed by every process that knew more: the first one changes
// the epoch, for all, and followers get a reset. One that regrew meanwhile is
// noticed by the tag in the cursor. A lost hash is a new log with a new epoch:
// what the stream still holds is removed, since its IDs are lost.
//
// # Caveats
//
// Redis acknowledges what its persistence and replication settings may lose;
// docs/redis.md has the table. Seqs end at 2^53, where Lua stops counting.
package redislog
