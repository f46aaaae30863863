// Package boltlog keeps logs in a bbolt file: the embedded default. Nothing
// has to run beside the application.
//
// # Basics
//
// [OpenFile] opens a file that belongs to the log. [Open] puts a log into the
// application's own *bbolt.DB, where [Log.AppendTx] adds events inside the
// transaction that makes the change they tell of: both commit or neither does.
// A file holds any number of logs, each in a top-level bucket of its own name.
//
// [Log.Append] shares commits: events that arrive while a commit is being
// synced leave together in the next one, each caller with an outcome of its
// own. A [Store] shares them between all its logs: have one where a file holds
// several. An acknowledged event survives a crash of the process and of the
// machine (unless FileOptions.NoSync says otherwise).
//
// # Guarantees that come from the store
//
// bbolt has one writer at a time, so the order of seqs is the order of
// commits: seqs are dense, nothing appears late, and Head and Last are always
// the same number. Epoch, floor and head are stored, never derived from the
// events that remain.
//
// # Caveats
//
//   - A file is open in one process. A second OpenFile fails within
//     FileOptions.LockTimeout. In one process, share the [Store].
//   - Have one Store for each DB. Two are safe, but each commits alone, and a
//     follower of one notices what is appended through the other only by
//     polling (Options.PollInterval).
//   - Append, Trim and Renew wait for bbolt's write lock, as long as their ctx
//     allows. Do not call them while the same goroutine has a transaction of
//     this DB open: use AppendTx.
//   - A long read transaction of the application keeps old pages alive, so
//     that the file grows, and stops any writer that has to enlarge the map,
//     and whoever reads behind that writer. A Log itself holds none after a
//     call has returned, unless ctx ended the call.
//   - A file copied back from a backup cannot know that it is old: call
//     [Log.Renew] before it serves clients.
//
// docs/bolt.md in the repository has figures, options and how to restore a
// backup; docs/errors.md has every error and what to do.
package boltlog
