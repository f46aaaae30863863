package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Mode says how events get their seq.
type Mode string

// The modes; not every dialect has each.
const (
	Sequencer    Mode = "sequencer"
	Fence        Mode = "fence"
	AtCommit     Mode = "at-commit"
	SingleWriter Mode = "single-writer"
)

// Columns are the names of a table's columns; empty: it has no such column.
type Columns struct {
	Seq, ID, Topic, Type, Key, Time, Data, Meta string
}

// OwnColumns are those of a table that we made.
func OwnColumns() Columns {
	return Columns{Seq: "seq", ID: "id", Topic: "topic", Type: "type", Key: "key", Time: "time", Data: "data", Meta: "meta"}
}

// Unstorable are the names of the fields that e has set and no column can hold.
func (c Columns) Unstorable(e cdc.Event) []string {
	var fields []string
	for _, f := range [...]struct {
		name, column string
		set          bool
	}{
		{"ID", c.ID, e.ID != ""},
		{"Topic", c.Topic, e.Topic != ""},
		{"Type", c.Type, e.Type != ""},
		{"Key", c.Key, e.Key != ""},
		{"Data", c.Data, len(e.Data) > 0},
		{"Meta", c.Meta, len(e.Meta) > 0},
	} {
		if f.set && f.column == "" {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// Settings are what a log was opened with. Complete fills in the defaults.
type Settings struct {
	Dialect          *Dialect
	Name             string // of the log's table, perhaps with a schema before a dot
	Mode             Mode
	Columns          Columns
	Mapped           bool // the table is not ours
	InvisibleDeletes bool // a mapped table may be without the trigger for deletes
	ListenDSN        string
	OnError          func(error) // of the user; may be nil
	PollInterval     time.Duration
	MaxPollInterval  time.Duration

	Names Names
	Token string // of this log, to know its own notifications
}

// MaxIDBytes fits into the unique index of every dialect.
const MaxIDBytes = 512

// Complete checks the settings and fills in what the user left to us.
func (s Settings) Complete() (Settings, error) {
	d := s.Dialect
	s.Token = cdc.NewEpoch()
	s.Names = NewNames(d.Syntax, s.Name)
	if !s.Mapped {
		s.Columns = OwnColumns()
	}
	s.completeIntervals()
	if s.Mode == "" {
		s.Mode = d.Modes[0]
		if s.Mapped && d.MappedMode != "" {
			s.Mode = d.MappedMode
		}
	}
	return s, s.check()
}

func (s *Settings) completeIntervals() {
	if s.PollInterval == 0 {
		s.PollInterval = s.Dialect.PollInterval
	}
	if s.MaxPollInterval == 0 {
		s.MaxPollInterval = max(s.Dialect.MaxPollInterval, s.PollInterval)
	}
}

func (s *Settings) check() error {
	d := s.Dialect
	if most := d.MaxNameBytes - len("_floor_truncate"); d.MaxNameBytes > 0 && len(s.Names.Table) > most {
		return fmt.Errorf("the name of the log is %d bytes long, and the names of our other tables and triggers begin with it: the database cuts names, so use at most %d", len(s.Names.Table), most)
	}
	if s.Names.Table == "" {
		return errors.New("the name of the log is empty: give the name of its table, perhaps with a schema before a dot")
	}
	if !slices.Contains(d.Modes, s.Mode) {
		return fmt.Errorf("mode %q does not exist on %s: use one of %v", s.Mode, d.Name, d.Modes)
	}
	if s.Mapped && s.Mode != d.MappedMode {
		if d.MappedMode == "" {
			return fmt.Errorf("mode %s keeps its own table, as all modes on %s do: leave Options.Columns nil", s.Mode, d.Name)
		}
		return fmt.Errorf("mode %s keeps its own table: leave Options.Columns nil, or use mode %s", s.Mode, d.MappedMode)
	}
	if s.Columns.Seq == "" {
		return errors.New("Options.Columns.Seq is empty: name the column that orders the table")
	}
	if s.ListenDSN != "" && !d.Listens {
		return fmt.Errorf("Options.ListenDSN is set, and there is no LISTEN on %s: leave it empty", d.Name)
	}
	if s.MaxPollInterval < s.PollInterval {
		return fmt.Errorf("Options.MaxPollInterval is %v, below the PollInterval of %v", s.MaxPollInterval, s.PollInterval)
	}
	return nil
}

// HasInbox reports whether writers insert into an inbox.
func (s Settings) HasInbox() bool { return s.Mode == Sequencer || s.Mode == AtCommit }

// Tables are the unquoted names of the tables that the mode needs, the log's
// first.
func (s Settings) Tables() []string {
	tables := []string{s.Names.Table, s.Names.Table + "_head"}
	if s.HasInbox() {
		tables = append(tables, s.Names.Table+"_inbox")
	}
	return tables
}

// Rest is the pause after a look that has found something: with it, looking
// takes a fifth of the time at most.
func (s Settings) Rest(cost time.Duration) time.Duration { return min(4*cost, s.MaxPollInterval) }

// Names are the names of our tables.
type Names struct {
	syntax Syntax
	Schema string // unquoted, may be empty
	Table  string // unquoted

	Log, Inbox, Head string // quoted, with the schema
}

// NewNames takes the name of a table, perhaps with a schema before a dot.
func NewNames(syntax Syntax, table string) Names {
	if schema, t, ok := strings.Cut(table, "."); ok {
		return NamesIn(syntax, schema, t)
	}
	return NamesIn(syntax, "", table)
}

// NamesIn takes the name of a table and its schema, which may be empty.
func NamesIn(syntax Syntax, schema, table string) Names {
	n := Names{syntax: syntax, Schema: schema, Table: table}
	n.Log, n.Inbox, n.Head = n.Qualify(n.Table), n.Qualify(n.Table+"_inbox"), n.Qualify(n.Table+"_head")
	return n
}

// In are the names in a schema.
func (n Names) In(schema string) Names { return NamesIn(n.syntax, schema, n.Table) }

// Rename are the names of another table in the same schema.
func (n Names) Rename(table string) Names { return NamesIn(n.syntax, n.Schema, table) }

// Qualify quotes a name and puts the schema before it.
func (n Names) Qualify(name string) string {
	if n.Schema == "" {
		return n.Quote(name)
	}
	return n.Quote(n.Schema) + "." + n.Quote(name)
}

// Quote makes an identifier of any text.
func (n Names) Quote(name string) string { return n.syntax.Quote(name) }
