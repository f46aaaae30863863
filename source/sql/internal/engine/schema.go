package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// EnsureSchema makes what is missing, and returns the problems that are left.
func EnsureSchema(ctx context.Context, db DB, s Settings) (Problems, error) {
	schema := s.Dialect.Schema
	if p, err := schema.Refuse(ctx, db, s); err != nil || len(p) > 0 {
		return p, err
	}
	if p, err := schema.Verify(ctx, db, s); err != nil || len(p) == 0 {
		return p, err
	}
	var refused Problems
	made := schema.Alone(ctx, db, s, func(tx Session) (err error) {
		// Another process may have begun in another mode meanwhile.
		if refused, err = schema.Refuse(ctx, tx, s); err != nil || len(refused) > 0 {
			return err
		}
		return ExecAll(ctx, tx, schema.Statements(s))
	})
	if len(refused) > 0 {
		return refused, made
	}
	p, err := schema.Verify(ctx, db, s)
	if err == nil && len(p) > 0 && !slices.Contains(p, missingTable) {
		return p, nil // what is wrong with the tables says more than the statement that failed
	}
	return p, errors.Join(made, err)
}

// FirstBounds are floor and head of a new head row. A sequencer numbers from
// the head, so it must not lie below events that outlived the row before.
func FirstBounds(s Settings) string {
	if s.Mode != Sequencer {
		return "0, 0"
	}
	return "(SELECT coalesce(min(seq) - 1, 0) FROM " + s.Names.Log + "), (SELECT coalesce(max(seq), 0) FROM " + s.Names.Log + ")"
}

// ScanColumns reads a catalog's answer: name, type, not null, has a default.
func ScanColumns(ctx context.Context, q Querier, query string, args ...any) (map[string]Column, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	columns := map[string]Column{}
	for rows.Next() {
		var name string
		var c Column
		if err := rows.Scan(&name, &c.Kind, &c.NotNull, &c.HasDefault); err != nil {
			return nil, err
		}
		c.Kind, _, _ = strings.Cut(c.Kind, "(")
		columns[name] = c
	}
	return columns, rows.Err()
}
