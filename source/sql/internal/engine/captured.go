package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Captured returns the tables whose triggers write to the log, by name, each with
// what it is captured as.
func Captured(ctx context.Context, q Querier, s Settings) ([]Table, error) {
	log, err := s.Dialect.Catalog.Resolve(ctx, q, s.Names)
	if err != nil {
		return nil, err
	}
	s.Names = log
	rows, err := q.QueryContext(ctx, s.Dialect.Capturer.Installed(log))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	var tables []Table
	for rows.Next() {
		var schema, table, name, text string
		if err := rows.Scan(&schema, &table, &name, &text); err != nil {
			return nil, err
		}
		c := &Capture{Settings: s, On: NamesIn(s.Dialect.Syntax, schema, table)}
		if c.Name("insert") != name { // another trigger of the table, or another log's
			continue
		}
		t, err := readMark(text)
		if err != nil {
			return nil, fmt.Errorf("the trigger %s: %w", name, err)
		}
		t.Name = table
		if schema != log.Schema {
			t.Name = schema + "." + table
		}
		tables = append(tables, t)
	}
	return tables, rows.Err()
}

// readMark reads what Capture.Mark has written into the text of a trigger.
func readMark(text string) (Table, error) {
	_, mark, _ := strings.Cut(text, MarkPrefix)
	mark, _, _ = strings.Cut(mark, "\n")
	var m struct {
		Topic   string   `json:"topic"`
		Columns []string `json:"topic columns"`
		Type    string   `json:"type"`
	}
	if err := json.Unmarshal([]byte(mark), &m); err != nil {
		return Table{}, fmt.Errorf("its mark cannot be read: %w", err)
	}
	return Table{Topic: m.Topic, TopicColumns: m.Columns, Type: m.Type}, nil
}
