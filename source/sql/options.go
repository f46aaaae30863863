package sqllog

import "time"

// Mode says how events get their seq, and so what a writer pays and what a
// reader waits for. docs/sql.md compares them with figures.
type Mode string

const (
	// Auto is Sequencer on PostgreSQL, MySQL and MariaDB, Fence on PostgreSQL
	// if Columns are mapped, SingleWriter on SQLite. It is the zero value.
	Auto Mode = ""
	// Sequencer numbers events after their commit, when somebody reads:
	// writers insert into an inbox without any lock, and a slow writer delays
	// nobody. Not on SQLite.
	Sequencer Mode = "sequencer"
	// Fence reads a table whose seq is drawn at INSERT (a BIGSERIAL) up to the
	// oldest writer in flight. It changes nothing for writers, so it is the
	// mode for a table that already exists. Transactions that append several
	// times and never cease to overlap may be read in parts. PostgreSQL only.
	Fence Mode = "fence"
	// AtCommit numbers events in the writer's own transaction, just before its
	// commit, one transaction after the other: seq order is commit order, and
	// the events of a transaction are adjacent. PostgreSQL only.
	AtCommit Mode = "at-commit"
	// SingleWriter relies on the database to run one writing transaction at a
	// time. SQLite only.
	SingleWriter Mode = "single-writer"
)

// Columns are the names of the columns of an existing table. Seq is required;
// an empty name means that the table has no such column: the field then reads
// as its zero value, and Append refuses an event that has it set.
type Columns struct {
	Seq   string // PostgreSQL: bigint with its own sequence; SQLite: INTEGER PRIMARY KEY AUTOINCREMENT
	ID    string // text with a unique index (NULL: no ID)
	Topic string
	Type  string
	Key   string
	Time  string // timestamp, text, or a number of seconds, milliseconds or microseconds since 1970; see docs/sql.md for what is none
	Data  string // bytea, blob, text, json or jsonb; NULL reads as nil
	Meta  string // JSON object; what is none is read as the value of the key cdc.unreadable-meta
}

// Options of a log. Nil means the defaults. Negative numbers are refused.
type Options struct {
	// Dialect of the database; empty: the server is asked.
	Dialect Dialect

	// Mode of numbering; empty: see [Auto].
	Mode Mode

	// Columns maps a table that already exists, which is never altered: only
	// our small table and a trigger for deletes are put beside it. Nil: the
	// table is ours. Not on MySQL.
	Columns *Columns

	// InvisibleDeletes accepts a mapped table without the trigger that raises
	// the floor when rows are deleted or truncated by other programs: readers
	// of removed events are then not told. False: the trigger is required.
	InvisibleDeletes bool

	// NoSchema keeps Open from creating what is missing, for people with
	// migration tools (see [Schema]): it is an error then.
	NoSchema bool

	// ListenDSN is a lib/pq connection string, with sslmode, for LISTEN on a
	// connection of its own. Empty: readers are woken by polling alone. Open
	// refuses what cannot be parsed; OnError gets what fails later. PostgreSQL
	// only; elsewhere it is refused.
	ListenDSN string

	// OnError is called with what the log goes on without: LISTEN that does not
	// work, once each time that it ceases to, and by Open a file of SQLite without
	// WAL, in which reading can make a write fail that does not wait. It must be
	// quick and may be called concurrently with everything else. Nil: nobody is
	// told.
	OnError func(error)

	// PollInterval is the time between two polls while there are events; 0: 2
	// ms, or 5 ms on SQLite.
	PollInterval time.Duration

	// MaxPollInterval is the time between two polls of an idle log, reached
	// gradually; it bounds the delay of the first event after a silence. 0: 25
	// ms, on SQLite 5 ms, and never less than PollInterval; below that it is
	// refused.
	MaxPollInterval time.Duration

	// MaxEventBytes is the largest size of an event that Append takes, in
	// bytes; 0: cdc.DefaultMaxEventBytes, 1 MiB.
	MaxEventBytes int
}
