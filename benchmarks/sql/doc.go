// Package sql measures what a log in a SQL database costs its writers, how late
// its readers are, and how fast a long history is read.
//
//	go test -bench Writers -benchtime 1x .
//	go test -bench Lag -benchtime 1x .
//	GAPLESS_ROWS=10000000 go test -bench Replay -benchtime 1x -timeout 2h .
//
// PostgreSQL does not flush its commits to the disk, so that the disk is not
// what is measured; GAPLESS_POSTGRES="fsync=on" changes that or any other setting.
package sql
