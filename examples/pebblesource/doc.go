// Package pebblesource is a log over pebble, the LSM store of CockroachDB,
// written from docs/custom-source.md and certified by the conformance suite.
// Its tests break it in one line at a time, and name the case that notices.
//
// # Basics
//
// [Open] opens a folder, [cdc.Poll] makes a log of it. What [Source.Append] has
// returned is synced, and readers are shown nothing before it is.
//
// # What is stored
//
//	b            the bounds, as JSON
//	e + seq      an event, as JSON; the seq in 8 bytes, big-endian
//	i + ID       the seq of the event with that ID
//
// One batch is one append: events, index and bounds are written together.
//
// # Caveats
//
// pebble locks the folder, so one process has it open. Appends do not share a sync: many small ones at the same time are
// as slow as the disk.
package pebblesource
