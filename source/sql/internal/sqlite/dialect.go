// Package sqlite is SQLite: its schema, its triggers, and the mode in which it is
// the one that orders the writers.
package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Dialect is SQLite 3.35 or later.
func Dialect() *engine.Dialect {
	return &engine.Dialect{
		Name:            "sqlite",
		Modes:           []engine.Mode{engine.SingleWriter},
		MappedMode:      engine.SingleWriter,
		Captures:        engine.CaptureFeatures{TopicColumns: true, NumbersAsText: true, MetaTableCell: true},
		PollInterval:    5 * time.Millisecond,
		MaxPollInterval: 5 * time.Millisecond,
		Local:           true,
		Probe:           probe,
		Syntax:          syntax{},
		Catalog:         catalog{},
		Schema:          schema{},
		Capturer:        capturer{},
		Placer:          placer(),
		Hint:            hint,
		Open:            open,
	}
}

// probe waits for the lock: a file that is being recovered answers nothing.
func probe(ctx context.Context, q engine.Querier) error {
	return retryBusy(ctx, func() error { return engine.AskVersion(ctx, q, "SELECT sqlite_version()", "3.") })
}

// syntax implements engine.Syntax.
type syntax struct{}

func (syntax) Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func (syntax) Param(int) string         { return "?" }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// catalog implements engine.Catalog.
type catalog struct{}

// Resolve implements engine.Catalog.
func (catalog) Resolve(_ context.Context, _ engine.Querier, n engine.Names) (engine.Names, error) {
	if n.Schema != "" {
		return n, nil
	}
	return n.In("main"), nil
}

func (catalog) Columns(ctx context.Context, q engine.Querier, n engine.Names, table string) (map[string]engine.Column, error) {
	return engine.ScanColumns(ctx, q, "SELECT name, lower(type), \"notnull\" <> 0, dflt_value IS NOT NULL FROM pragma_table_xinfo(?, ?) WHERE hidden <> 1", table, schemaName(n))
}

func (catalog) PrimaryKey(ctx context.Context, q engine.Querier, n engine.Names) ([]string, error) {
	return engine.List[string](ctx, q, "SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk", n.Table, schemaName(n))
}

// schemaName is that of the database in which the table is.
func schemaName(n engine.Names) string {
	if n.Schema == "" {
		return "main"
	}
	return n.Schema
}
