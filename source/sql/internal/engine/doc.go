// Package engine is the log in a SQL database without what only one dialect
// has: the tables and how pages are read from them, the sequencer, the feed that
// wakes subscribers, the comparison of a schema with what is needed. A folder
// beside this one is a [Dialect]; package sqllog is what users see.
package engine
