// Package sqllog is an event log in a SQL database: PostgreSQL, SQLite, MySQL
// and MariaDB. Events are written in the transaction of the change that they
// describe, and no reader ever misses one, however many writers there are.
//
// # Basics
//
// [Open] makes a log of an open database, a *sql.DB or a *sqlx.DB; [Log.AppendTx] adds events in the
// caller's transaction, [Log.Append] in one of its own, [Log.Capture] makes
// triggers do it for every change of a table. Readers use the log through
// package cdc: cdc.Follow, cdc.NewHub.
//
//	db, err := sql.Open("postgres", dsn)
//	log, err := sqllog.Open(ctx, db, "change_log", nil)
//	err = log.AppendTx(ctx, tx, cdc.Event{Topic: "orders", Type: "order.created", Key: "17"})
//
// # The order of events
//
// A sequence is drawn when a row is inserted, but transactions commit in
// another order, so a reader that asks for "seq > the last I saw" loses rows
// that become visible late. A [Mode] says what is done instead: numbers are
// given after the commit ([Sequencer]), readers wait for writers in flight
// ([Fence]), or numbers are drawn under a lock at commit ([AtCommit]). SQLite
// has one writer at a time ([SingleWriter]).
//
// In every mode two changes of one row are in the order of their commits, if
// AppendTx is called after the change: the row lock orders them.
//
// # Caveats
//
// The log is read on the primary only; a replica is an error. AppendTx knows no
// seq, because there is none before the commit. A restored backup must be
// followed by [Log.Renew] before anything is appended; another PostgreSQL
// server or timeline begins a new epoch by itself. The mode Fence, and SQLite,
// keep one connection of the pool for a Log; the logs of a [Store] share it.
//
// docs/sql.md in the repository has the modes with their prices, what Capture
// sees and refuses, and how to restore a backup.
package sqllog
