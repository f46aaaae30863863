// Package cdc turns an ordered, durable log into streams that any number of
// readers can follow, resume after a break, and trust: a gap is an error value,
// never a shorter stream.
//
//	for batch, err := range cdc.Follow(ctx, log, cdc.After(cursor), nil) {
//		if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
//			// events may have been skipped: reload state, follow from reset.Resume
//		}
//		// handle batch.Events, then keep batch.Cursor
//	}
//
// # Basics
//
// A [Log] is a [Source], which can be read, and a [Subscriber], which says when
// there is more. The packages under source implement it on bbolt, Redis and SQL
// databases. [Follow] is the handoff from history to what is new, written once.
// A [Hub] makes many followers in one process cheap. [Retain] bounds what a log
// keeps. [Consume] runs workers, whose position moves in the transaction of
// what they write. What only some logs can do is reached through [Append], [Trim] and
// [Renew]; a wrapper passes it on by a method Unwrap() Log or Unwrap() Source.
//
// Every event has a seq: strictly increasing, never used twice, with holes
// where the store has them. A log has an epoch, which changes when seqs begin
// anew or were rewound. A [Cursor] names both: it is where a reader goes on. A
// log keeps the events above its floor, and its head is the newest. A reader
// who cannot go on from its cursor gets a [*ResetError], a reset: it reloads
// its state and goes on from the Resume of the reset.
//
// These words and no more are needed to use a log. Whoever writes one finds the
// others in docs/custom-source.md.
//
// # Guarantees
//
// Each has the name that its cases have in the conformance suite, which every
// backend, the Hub over it, and Follow must pass:
//
//   - Ordered: every stream sees the one order of the log; an append
//     acknowledged before another began comes first.
//   - Unique: no event comes twice on one stream.
//   - Reliable: no event is skipped; nothing becomes visible at or below a seq
//     that a reader was already told of.
//   - Committed: nothing of an open or rolled-back transaction is seen.
//   - Atomic: an Append of several events is all or nothing.
//   - Resumable: resuming from the cursor of any delivered event gives exactly
//     what follows it, or a [*ResetError] that names floor and head.
//   - Handoff: subscribing has taken effect when it returns; no commit is lost
//     or repeated between replay and live, the first time and every later time.
//   - Live: while source and reader work, every commit reaches every stream in
//     finite time, also one made by another process or handle.
//   - Bookmark: a batch with cursor c means that everything up to c was
//     delivered or filtered; c resumes.
//   - Durable: an acknowledged append survives reopening and a killed process;
//     seqs are not reused; the head never decreases within an epoch.
//   - Bounded: a slow or dead reader delays nobody, costs bounded memory, and
//     never loses silently.
//   - Contained: ctx, Close and leaving the loop end everything in finite time
//     and leak nothing; there is one final error; events handed out never change.
//   - Idempotent: appending an ID again returns the first result and adds
//     nothing, so that an unknown outcome can be retried.
//
// # Caveats
//
// A seq in a [Receipt] names an event; seqs below it may still be undecided.
// IDs are remembered only as long as their events are retained. A copy restored
// from a backup cannot know that it went back: [Renew] it before it is followed.
// Without that, a reader notices at the next commit that the event at its
// cursor is another one, unless its cursor is at a hole.
package cdc
