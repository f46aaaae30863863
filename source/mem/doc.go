// Package memlog is a log in memory: the reference that the conformance suite
// and its mutants are written against, and a log for tests. It is ordered and
// resumable like every other, has transactions that overlap ([Log.Begin]) so
// that seqs are taken in another order than they are decided, and forgets
// everything when the process ends.
//
//	log := memlog.New(nil)
//	receipt, err := log.Append(ctx, cdc.Event{Topic: "orders", Type: "order.created", Key: "17"})
//
// docs/testing.md in the repository tests a program with it.
package memlog
