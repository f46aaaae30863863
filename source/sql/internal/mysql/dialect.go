// Package mysql is MySQL and MariaDB: their schema, their triggers, and how the
// sequencer moves events there.
package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Dialect is MySQL 8.0.14 or MariaDB 10.6, or later.
func Dialect() *engine.Dialect {
	return &engine.Dialect{
		Name:            "mysql",
		Modes:           []engine.Mode{engine.Sequencer},
		Captures:        engine.CaptureFeatures{TopicColumns: true, NumbersAsText: true, MetaVariable: true},
		PollInterval:    2 * time.Millisecond,
		MaxPollInterval: 25 * time.Millisecond,
		MaxNameBytes:    63,
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

func probe(ctx context.Context, q engine.Querier) error {
	return engine.AskVersion(ctx, q, "SELECT version()", "8.", "9.", "10.", "11.", "12.", "13.")
}

// syntax implements engine.Syntax.
type syntax struct{}

func (syntax) Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
func (syntax) Param(int) string         { return "?" }

func literal(text string) string {
	if strings.Contains(text, `\`) {
		return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// catalog implements engine.Catalog.
type catalog struct{}

// Resolve implements engine.Catalog.
func (catalog) Resolve(ctx context.Context, q engine.Querier, n engine.Names) (engine.Names, error) {
	if n.Schema != "" {
		return n, nil
	}
	var schema sql.NullString
	if err := q.QueryRowContext(ctx, "SELECT database()").Scan(&schema); err != nil {
		return n, err
	}
	return n.In(schema.String), nil
}

func (catalog) Columns(ctx context.Context, q engine.Querier, n engine.Names, table string) (map[string]engine.Column, error) {
	return engine.ScanColumns(ctx, q, "SELECT column_name, data_type, is_nullable = 'NO', column_default IS NOT NULL OR extra <> '' FROM information_schema.columns"+
		" WHERE table_name = ? AND table_schema = coalesce(nullif(?, ''), database()) AND NOT "+versioned, table, n.Schema)
}

// versioned are columns that the server fills in for WITH SYSTEM VERSIONING, and
// puts into the primary key.
const versioned = "upper(coalesce(generation_expression, '')) IN ('ROW START', 'ROW END')"

func (catalog) PrimaryKey(ctx context.Context, q engine.Querier, n engine.Names) ([]string, error) {
	return engine.List[string](ctx, q, "SELECT k.column_name FROM information_schema.key_column_usage k JOIN information_schema.columns c USING (table_schema, table_name, column_name)"+
		" WHERE k.constraint_name = 'PRIMARY' AND k.table_name = ? AND k.table_schema = coalesce(nullif(?, ''), database()) AND NOT "+versioned+" ORDER BY k.ordinal_position", n.Table, n.Schema)
}
