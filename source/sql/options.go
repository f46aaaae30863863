package sqllog

import (
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Dialect is a family of SQL databases.
type Dialect string

// The dialects, found by [Open] from the name of the driver.
const (
	Postgres Dialect = "postgres" // PostgreSQL 12 or later
	SQLite   Dialect = "sqlite"   // SQLite 3.35 or later
	MySQL    Dialect = "mysql"    // MySQL 8.0.14 or MariaDB 10.6 or later
)

// dialectOf a driver's name, as database/sql has it registered.
func dialectOf(driver string) (Dialect, error) {
	switch driver {
	case "postgres", "pgx", "pq", "cloudsqlpostgres":
		return Postgres, nil
	case "sqlite", "sqlite3":
		return SQLite, nil
	case "mysql", "nrmysql":
		return MySQL, nil
	}
	return "", fmt.Errorf("no dialect is known for the driver %q: set Options.Dialect", driver)
}

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
	Time  string // timestamp, text, or a number of seconds, milliseconds or microseconds since 1970
	Data  string // bytea, blob, text, json or jsonb; NULL reads as nil
	Meta  string // JSON object
}

// own are the columns of a table that we made.
func own() Columns {
	return Columns{Seq: "seq", ID: "id", Topic: "topic", Type: "type", Key: "key", Time: "time", Data: "data", Meta: "meta"}
}

// Options of [Open], [EnsureSchema], [Verify] and [Schema]. Nil means the
// defaults.
type Options struct {
	// Dialect of the database; empty: found from the driver's name.
	Dialect Dialect

	// Mode of numbering; empty: see [Auto].
	Mode Mode

	// Table is the name of the log's table, perhaps with a schema before a
	// dot; the names of our other tables begin with it. Empty: "change_log".
	Table string

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
	// connection of its own. Empty: readers are woken by polling alone.
	// PostgreSQL only.
	ListenDSN string

	// PollInterval is the time between two polls while there are events; 0: 2
	// ms, or 5 ms on SQLite.
	PollInterval time.Duration

	// MaxPollInterval is the time between two polls of an idle log, reached
	// gradually; it bounds the delay of the first event after a silence. 0: 25
	// ms, or PollInterval on SQLite.
	MaxPollInterval time.Duration

	// MaxEventBytes is the largest size of an event that Append takes, in
	// bytes; 0: cdc.DefaultMaxEventBytes.
	MaxEventBytes int
}

// settings are Options with their defaults applied.
type settings struct {
	Options
	columns Columns
	names   names
	token   string // of this Log, to know its own notifications
}

func (o *Options) settle(driver string) (settings, error) {
	s := settings{token: cdc.NewEpoch()}
	if o != nil {
		s.Options = *o
	}
	if s.Dialect == "" {
		d, err := dialectOf(driver)
		if err != nil {
			return s, err
		}
		s.Dialect = d
	}
	if s.Table == "" {
		s.Table = "change_log"
	}
	s.columns = own()
	if s.Columns != nil {
		s.columns = *s.Columns
	}
	if err := s.settleMode(); err != nil {
		return s, err
	}
	s.settleIntervals()
	s.names = newNames(s.Dialect, s.Table)
	if most := maxNameBytes - len("_floor_truncate"); s.Dialect != SQLite && len(s.names.table) > most {
		return s, fmt.Errorf("Options.Table is %d bytes long, and the names of our other tables and triggers begin with it: the database cuts names, so use at most %d", len(s.names.table), most)
	}
	return s, nil
}

// maxNameBytes is the longest name that no dialect cuts.
const maxNameBytes = 63

func (s *settings) settleMode() error {
	if s.Mode == Auto {
		switch {
		case s.Dialect == SQLite:
			s.Mode = SingleWriter
		case s.Dialect == Postgres && s.Columns != nil:
			s.Mode = Fence
		default:
			s.Mode = Sequencer
		}
	}
	known := map[Dialect][]Mode{
		Postgres: {Sequencer, Fence, AtCommit},
		MySQL:    {Sequencer},
		SQLite:   {SingleWriter},
	}[s.Dialect]
	for _, m := range known {
		if m != s.Mode {
			continue
		}
		if s.Columns != nil && m != Fence && m != SingleWriter {
			return fmt.Errorf("mode %s keeps its own table: leave Options.Columns nil, or use mode %s on PostgreSQL", m, Fence)
		}
		if s.columns.Seq == "" {
			return fmt.Errorf("Options.Columns.Seq is empty: name the column that orders the table")
		}
		return nil
	}
	if known == nil {
		return fmt.Errorf("dialect %q is unknown: use %s, %s or %s", s.Dialect, Postgres, SQLite, MySQL)
	}
	return fmt.Errorf("mode %q does not exist on %s: use one of %v", s.Mode, s.Dialect, known)
}

func (s *settings) settleIntervals() {
	if s.PollInterval <= 0 {
		s.PollInterval = 2 * time.Millisecond
		if s.Dialect == SQLite {
			s.PollInterval = 5 * time.Millisecond
		}
	}
	if s.MaxPollInterval <= 0 {
		s.MaxPollInterval = 25 * time.Millisecond
		if s.Dialect == SQLite {
			s.MaxPollInterval = s.PollInterval
		}
	}
	s.MaxPollInterval = max(s.MaxPollInterval, s.PollInterval)
}

// rest is the pause after a look that has found something: with it, looking
// takes a fifth of the time at most.
func (s *settings) rest(cost time.Duration) time.Duration { return min(4*cost, s.MaxPollInterval) }

// names are the quoted names of our tables.
type names struct {
	dialect Dialect
	schema  string // unquoted, may be empty
	table   string // unquoted

	log, inbox, head string // quoted, with the schema
}

func newNames(d Dialect, table string) names {
	n := names{dialect: d, table: table}
	if schema, t, ok := strings.Cut(table, "."); ok {
		n.schema, n.table = schema, t
	}
	n.log, n.inbox, n.head = n.qualify(n.table), n.qualify(n.table+"_inbox"), n.qualify(n.table+"_head")
	return n
}

// qualify quotes a name and puts the schema before it.
func (n names) qualify(name string) string {
	if n.schema == "" {
		return n.quote(name)
	}
	return n.quote(n.schema) + "." + n.quote(name)
}

// quote makes an identifier of any text.
func (n names) quote(name string) string { return quoteName(n.dialect, name) }

func quoteName(d Dialect, name string) string {
	if d == MySQL {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// literal makes a string literal of any text without NUL, whatever the session
// takes a backslash for.
func literal(d Dialect, text string) string {
	if strings.Contains(text, `\`) {
		switch d {
		case MySQL:
			return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", text)
		case Postgres:
			return "E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(text) + "'"
		}
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
