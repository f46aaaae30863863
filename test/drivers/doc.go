// Package drivers runs the conformance suite on the log over the drivers that
// its users may have instead of those of its own tests: pgx, that of bun, and the
// cgo SQLite.
package drivers
