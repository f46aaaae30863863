package capture

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// This file is all that the judge uses of sqllog.

// logForm is a log that captures: its name and its options.
type logForm struct {
	name string
	make string // a statement that makes the table of a mapped log
	opts sqllog.Options
}

// jsonbLog is the log whose Data is jsonb.
const jsonbLog = "jsonb_log"

// Logs are the names of the logs of a dialect.
func (d Dialect) Logs() []string {
	var names []string
	for _, f := range d.logForms() {
		names = append(names, f.name)
	}
	return names
}

func (d Dialect) logForms() []logForm {
	if d != Postgres {
		return []logForm{{name: "change_log"}}
	}
	columns := &sqllog.Columns{Seq: "n", Topic: "t", Type: "e", Key: "k", Data: "d", Time: "at"}
	mapped := func(name, kind string) logForm {
		return logForm{name, "CREATE TABLE " + name + " (n bigserial PRIMARY KEY, t text, e text, k text, d " + kind + ", at timestamptz)", sqllog.Options{Columns: columns}}
	}
	return []logForm{
		{name: "change_log"},
		{name: "fence_log", opts: sqllog.Options{Mode: sqllog.Fence}},
		{name: "commit_log", opts: sqllog.Options{Mode: sqllog.AtCommit}},
		mapped("text_log", "text"),
		mapped(jsonbLog, "jsonb"),
	}
}

// Log is one that captures, and where its reader is.
type Log struct {
	name  string
	log   *sqllog.Log
	after cdc.Cursor
}

// Event is what the judge looks at.
type Event struct {
	Topic, Type, Key string
	Data             []byte
}

// OpenLogs opens all logs of the dialect in db. Close them.
func OpenLogs(ctx context.Context, d Dialect, db *sqlx.DB) ([]*Log, error) {
	var logs []*Log
	for _, f := range d.logForms() {
		if f.make != "" {
			if _, err := db.ExecContext(ctx, f.make); err != nil {
				return nil, err
			}
		}
		opts := f.opts
		l, err := sqllog.Open(ctx, db, f.name, &opts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		logs = append(logs, &Log{name: f.name, log: l})
	}
	return logs, nil
}

// Close closes the log; the database stays open.
func (l *Log) Close() error { return l.log.Close() }

// topicOf the table with that index in its script.
func topicOf(index int) string { return fmt.Sprintf("table %d", index) }

func captureTable(index int, t *Table) sqllog.Table {
	name := t.Name
	if t.Schema != "" {
		name = In(1, t.Schema) + "." + name
	}
	table := sqllog.Table{Name: name, Topic: topicOf(index)}
	if t.NameKey {
		table.Key = t.keyNames()
	}
	return table
}

func (l *Log) capture(ctx context.Context, index int, t *Table) error {
	return l.log.Capture(ctx, captureTable(index, t))
}

func (l *Log) verify(ctx context.Context, index int, t *Table) error {
	return l.log.VerifyCapture(ctx, captureTable(index, t))
}

// skip moves the reader behind everything that is in the log.
func (l *Log) skip(ctx context.Context) error {
	b, err := l.log.Bounds(ctx)
	if err != nil {
		return err
	}
	l.after = cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
	_, err = l.events(ctx)
	return err
}

// events are those since the last call.
func (l *Log) events(ctx context.Context) ([]Event, error) {
	if _, err := l.log.Bounds(ctx); err != nil {
		return nil, err
	}
	var all []Event
	for {
		page, err := l.log.Read(ctx, l.after, 1000)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			all = append(all, Event{Topic: e.Topic, Type: e.Type, Key: e.Key, Data: e.Data})
		}
		if page.Next == l.after.Seq {
			return all, nil
		}
		l.after.Seq = page.Next
	}
}
