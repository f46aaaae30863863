// Package growth measures what happens to the cost of an event when something
// else grows: the followers, the log, its topics, the logs in one store. What
// should be flat is printed as tables for docs/results/growth.md:
//
//	GAPLESS_BENCH=1 go test -v -timeout 2h .
//	GAPLESS_BENCH=1 GAPLESS_EVENTS=1000000 go test -v -run TestLogs/bbolt .
//	GAPLESS_BENCH=1 GAPLESS_POLL_MS=1000 go test -v -run TestManyLogs/PostgreSQL .
//
// Without GAPLESS_BENCH everything runs in a size that takes seconds, so that it
// keeps working. Servers do not wait for the disk, and neither does bbolt, so
// that the disk is not what is measured.
package growth
