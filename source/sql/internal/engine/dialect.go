package engine

import (
	"context"
	"time"
)

// Dialect is a family of databases: plain facts, and the parts that a folder
// beside this one implements.
type Dialect struct {
	Name       string // as users write it
	Modes      []Mode // the first is the default
	MappedMode Mode   // of a table that exists already; empty: there is none

	PollInterval, MaxPollInterval time.Duration // where the user gives none

	MaxNameBytes int  // longer names are cut by the database; 0: never
	Local        bool // there is no network between it and its drivers
	Listens      bool // it can tell readers of news on a connection of their own
	Captures     CaptureFeatures

	Probe func(ctx context.Context, q Querier) error // asks, changing nothing, whether the server is one; nil: it is

	Syntax   Syntax
	Catalog  Catalog
	Schema   Schema
	Capturer Capturer
	Placer   Placer
	Hint     func(s Settings, err error) string // what to do about the database's error; empty: unknown
	Open     func(ctx context.Context, h *Host, s Settings) (Engine, error)
}

// Syntax writes the parts of a statement.
type Syntax interface {
	// Quote makes an identifier of any text.
	Quote(name string) string
	// Param is the placeholder of the nth argument, from 1 on.
	Param(n int) string
}

// Catalog describes tables that exist.
type Catalog interface {
	// Resolve returns the names with the schema in which this connection finds
	// the table of n, or as they are if there is none.
	Resolve(ctx context.Context, q Querier, n Names) (Names, error)
	// Columns of a table in the schema of n; none if it does not exist.
	Columns(ctx context.Context, q Querier, n Names, table string) (map[string]Column, error)
	// PrimaryKey of the table of n, in its order.
	PrimaryKey(ctx context.Context, q Querier, n Names) ([]string, error)
}

// Column is one column of a table as the database describes it.
type Column struct {
	Kind       string // the type's name in lower case, without its size
	NotNull    bool
	HasDefault bool // or the database fills it in
}

// Schema makes the tables of a log and compares them. What it returns as
// problems says what is wrong, and what to do if that is not obvious.
type Schema interface {
	// Statements make what is missing. They can be run again.
	Statements(s Settings) []string
	// Alone runs fn while no other process makes a schema, in a transaction
	// where the dialect has that for definitions.
	Alone(ctx context.Context, db DB, s Settings, fn func(tx Session) error) error
	// Refuse finds what Statements must not try to mend: the settings of the
	// connection, and a log that was made in another mode.
	Refuse(ctx context.Context, q Querier, s Settings) (Problems, error)
	// Verify compares everything and changes nothing.
	Verify(ctx context.Context, db DB, s Settings) (Problems, error)
}

// Capturer makes the triggers that log the changes of a table.
type Capturer interface {
	// Plan refuses a table whose changes cannot be captured as asked, and
	// changes nothing.
	Plan(ctx context.Context, q Querier, c *Capture) (CapturePlan, error)
	// Remove are the statements that remove whatever Install has made, and
	// nothing of another log.
	Remove(c *Capture) []string
	// Installed is a query for schema, table, name and text of the triggers that
	// have our mark and are in reach of the log, of whatever log they are.
	Installed(log Names) string
}

// CapturePlan are the triggers of one table for one log.
type CapturePlan interface {
	// Differences says how the triggers that are there differ from those that
	// Install makes.
	Differences(ctx context.Context, q Querier) (Problems, error)
	// Try finds out, before anything is installed, whether the triggers take the
	// rows that the table has, and leaves no trace.
	Try(ctx context.Context, db DB) error
	// Install are the statements that make the triggers in the place of others.
	Install() []string
}
